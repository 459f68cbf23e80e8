//! `hierarchy.yaml`: which folder or organization a project or folder lies in, one `child: parent` per line, and which
//! number a project has: `projects/demo: {parent: folders/42, projectNumber: 123456}`.
//!
//! A project has an id and a number, and requests may name it by either
//! (<https://cloud.google.com/resource-manager/docs/creating-managing-projects#identifying_projects>). A policy on one
//! name holds for the other as well: else a request could evade a deny rule by using the name that the rule does not
//! write.
//!
//! Google's Resource Manager knows the hierarchy. Opgate asks no other service, so this file has to say it. A project
//! that is not named here has no parent: only policies on itself and below apply to it.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use crate::diagnostic::{Report, Severity, Span};
use crate::document::{Node, Spelling, Value, nearest};
use crate::policy::model::resource::ResourceName;
use crate::policy::spelling::{self, loop_text};
use crate::source::PolicyFiles;

const KINDS: [&str; 3] = ["projects", "folders", "organizations"];

/// Parents of projects and folders, without cycles.
#[derive(Clone, Debug, Default)]
pub struct Hierarchy {
    parents: BTreeMap<String, String>,
    /// `projects/ID` by `projects/NUMBER`, and the other way round.
    aliases: BTreeMap<String, String>,
    /// Folders and organizations that some project lies in.
    populated: BTreeSet<String>,
    /// Whether mistakes have removed links: a resource without a parent may have one.
    incomplete: bool,
}

impl Hierarchy {
    pub(in crate::policy) fn load(files: &PolicyFiles, report: &mut Report) -> Self {
        const NAME: &str = "hierarchy.yaml";
        match files.parse(NAME, report) {
            Some(node) => Self::read(&node, report),
            None => Self { incomplete: files.contains(NAME), ..Self::default() },
        }
    }

    pub(in crate::policy) fn read(node: &Node, report: &mut Report) -> Self {
        let mut spans: BTreeMap<String, Span> = BTreeMap::new();
        let mut hierarchy = Self::default();
        let errors_before = report.count(Severity::Error);
        let mut numbers = Vec::new();
        for (child, key, node) in node.entries(report).unwrap_or_default() {
            let has_child = is_child(child, key, report);
            let (parent, number) = read_place(child, node, report);
            let parent = parent
                .and_then(|parent| parent.string(report).map(|text| (text, is_parent(text, parent, report))));
            if !has_child {
                continue;
            }
            spans.insert(child.to_owned(), key.span.clone());
            if let Some((parent, true)) = parent {
                hierarchy.parents.insert(child.to_owned(), parent.to_owned());
            }
            numbers.extend(number.map(|(number, span)| (child, number, span)));
        }
        for (id, number, span) in numbers {
            hierarchy.identify(id, number, span, &spans, report);
        }
        for lost in hierarchy.cycles(&spans, report) {
            hierarchy.parents.remove(&lost);
        }
        let projects = hierarchy.parents.keys().filter(|child| child.starts_with("projects/"));
        let populated =
            projects.flat_map(|project| hierarchy.ancestors(project)).map(str::to_owned).collect();
        hierarchy.populated = populated;
        hierarchy.incomplete = report.count(Severity::Error) > errors_before;
        hierarchy
    }

    /// Notes that a project's id and number are one project. What one name lies in, the other does.
    fn identify(
        &mut self,
        id: &str,
        number: String,
        span: &Span,
        spans: &BTreeMap<String, Span>,
        report: &mut Report,
    ) {
        if let Some(other) = self.aliases.get(&number) {
            let diagnostic = report.error(span, format!("`{number}` is already the number of `{other}`"));
            if let Some(first) = spans.get(other) {
                diagnostic.related(first, "the other project is here");
            }
            diagnostic.help("a number belongs to one project: compare with `gcloud projects describe`");
            return;
        }
        match (self.parents.get(id).cloned(), self.parents.get(&number).cloned()) {
            (Some(parent), Some(other)) if parent != other => {
                let message =
                    format!("`{id}` lies in `{parent}`, and `{number}`, which is its number, in `{other}`");
                report.error(span, message).help("they are one project: keep one of the two lines");
                return;
            }
            (Some(parent), None) => {
                self.parents.insert(number.clone(), parent);
            }
            (None, Some(parent)) => {
                self.parents.insert(id.to_owned(), parent);
            }
            _ => {}
        }
        self.aliases.insert(number.clone(), id.to_owned());
        self.aliases.insert(id.to_owned(), number);
    }

    /// The other name of a project, where both are known: its number or its id.
    pub(in crate::policy) fn alias(&self, name: &str) -> Option<&str> {
        self.aliases.get(name).map(String::as_str)
    }

    /// Whether two names are of one thing.
    pub(in crate::policy) fn is_same(&self, name: &str, other: &str) -> bool {
        name == other || self.alias(name) == Some(other)
    }

    /// Every name of a project with its other one, sorted.
    pub(in crate::policy) fn aliases(&self) -> impl Iterator<Item = (&str, &str)> {
        self.aliases.iter().map(|(name, other)| (name.as_str(), other.as_str()))
    }

    /// A resource name with the other name of its project, where both are known.
    pub(in crate::policy) fn other_name(&self, resource: ResourceName<'_>) -> Option<String> {
        let root = resource.root();
        let below = resource.as_str().strip_prefix(root)?;
        self.alias(root).map(|other| format!("{other}{below}"))
    }

    /// Reports every cycle and returns one link of each, so that a walk upwards ends whatever was written.
    fn cycles(&self, spans: &BTreeMap<String, Span>, report: &mut Report) -> Vec<String> {
        let mut cut = Vec::new();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for start in self.parents.keys() {
            let mut path: Vec<&str> = Vec::new();
            let mut on_path: BTreeSet<&str> = BTreeSet::new();
            let mut next = Some(start.as_str());
            while let Some(name) = next.filter(|name| !done.contains(name)) {
                if !on_path.insert(name) {
                    let mut cycle: Vec<&str> =
                        path.iter().copied().skip_while(|other| *other != name).collect();
                    cycle.push(name);
                    if let Some(span) = spans.get(name) {
                        report
                            .error(span, format!("`{name}` lies in itself: {}", loop_text(&cycle)))
                            .help("remove one of these lines");
                    }
                    cut.push(name.to_owned());
                    break;
                }
                path.push(name);
                next = self.parent(name);
            }
            done.extend(path);
        }
        cut
    }

    /// What a project or folder lies in.
    pub fn parent(&self, name: &str) -> Option<&str> {
        self.parents.get(name).map(String::as_str)
    }

    /// Everything that a project or folder lies in, nearest first.
    pub fn ancestors<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h str> {
        iter::successors(self.parent(name), |name| self.parent(name))
    }

    /// Every `(child, parent)`, sorted.
    pub(in crate::policy) fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parents.iter().map(|(child, parent)| (child.as_str(), parent.as_str()))
    }

    /// Whether `name` is `owner` or lies in it. Always true where mistakes hide links. They are reported, the tree is
    /// not used, and a second error would distract from the first.
    pub(in crate::policy) fn may_lie_in(&self, name: &str, owner: &str) -> bool {
        self.incomplete || self.is_same(name, owner) || self.ancestors(name).any(|ancestor| ancestor == owner)
    }

    /// Whether the name is a folder or organization in which no project lies.
    pub(in crate::policy) fn is_deserted(&self, name: &str) -> bool {
        let kind = name.split('/').next().unwrap_or_default();
        matches!(kind, "folders" | "organizations") && !self.incomplete && !self.populated.contains(name)
    }
}

/// What stands behind a child: its parent alone, or its parent and its number.
fn read_place<'n>(
    child: &str,
    node: &'n Node,
    report: &mut Report,
) -> (Option<&'n Node>, Option<(String, &'n Span)>) {
    if !matches!(node.value, Value::Map(_)) {
        return (Some(node), None);
    }
    let Some(mut fields) = node.fields("a place in the hierarchy", Spelling::Proto, report) else {
        return (None, None);
    };
    let parent = fields.optional("parent");
    let number = fields.optional("project_number");
    fields.finish(report);
    let number = number.and_then(|node| Some((read_number(child, node, report)?, &node.span)));
    (parent, number)
}

/// `projects/NUMBER`, of a number as `gcloud projects describe` prints it: a string of digits, or a number.
fn read_number(child: &str, node: &Node, report: &mut Report) -> Option<String> {
    let number = match &node.value {
        Value::String(text) => text.clone(),
        _ => node.integer(report)?.to_string(),
    };
    let id = child.strip_prefix("projects/");
    // Digits alone, none of them zero at the front: one number has one spelling.
    let is_number =
        !number.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    let (message, help) = if !is_number {
        (
            format!("`{number}` is not the number of a project"),
            "write digits alone, as `gcloud projects describe` does",
        )
    } else if id.is_none() {
        (
            format!("`{child}` has no project number"),
            "folders and organizations are named by their number alone",
        )
    } else if id.is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit())) {
        (
            format!("`{child}` is named by a number already"),
            "write the id on the left: `projects/demo: {projectNumber: 123456}`",
        )
    } else {
        return Some(format!("projects/{number}"));
    };
    report.error(&node.span, message).help(help);
    None
}

fn is_child(text: &str, node: &Node, report: &mut Report) -> bool {
    match kind(text, node, report) {
        Some("organizations") => {
            report
                .error(&node.span, "an organization lies in nothing")
                .help("write the child on the left: `folders/42: organizations/7`");
            false
        }
        kind => kind.is_some(),
    }
}

fn is_parent(text: &str, node: &Node, report: &mut Report) -> bool {
    match kind(text, node, report) {
        Some("projects") => {
            report
                .error(&node.span, "nothing lies in a project but its own resources")
                .help("a parent is `folders/ID` or `organizations/ID`");
            false
        }
        kind => kind.is_some(),
    }
}

/// The collection of `projects/ID`, `folders/ID` or `organizations/ID`; any other text is reported.
fn kind<'t>(text: &'t str, node: &Node, report: &mut Report) -> Option<&'t str> {
    let plain = |id: &str| {
        !matches!(id, "" | "." | "..")
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
    };
    let collection = text.split('/').next().unwrap_or_default();
    let known = text
        .split_once('/')
        .filter(|(collection, id)| KINDS.contains(collection) && plain(id))
        .map(|(collection, _)| collection);
    if known.is_none() {
        let diagnostic =
            report.error(&node.span, format!("`{text}` is not a project, folder or organization"));
        match nearest(collection, KINDS.into_iter()).filter(|kind| *kind != collection) {
            Some(kind) => diagnostic.help(format!("did you mean `{kind}/…`?")),
            None => diagnostic.help("write `projects/ID`, `folders/ID` or `organizations/ID`"),
        };
        return None;
    }
    if let Some(reason) = spelling::unnameable(text) {
        report
            .error(&node.span, format!("`{text}` is not a name that a request can have: {reason}"))
            .help("write the id of the project as `gcloud projects list` prints it");
        return None;
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;

    fn read(text: &str) -> (Hierarchy, Report) {
        let mut report = Report::new();
        let node = document::parse(&Source::new("hierarchy.yaml", text), &mut report).unwrap();
        let hierarchy = Hierarchy::read(&node, &mut report);
        (hierarchy, report)
    }

    #[test]
    fn parents_are_followed_to_the_organization() {
        let (hierarchy, report) =
            read("projects/demo: folders/42\nfolders/42: folders/1\nfolders/1: organizations/7\n");
        assert!(!report.is_fatal());
        let ancestors: Vec<_> = hierarchy.ancestors("projects/demo").collect();
        assert_eq!(ancestors, ["folders/42", "folders/1", "organizations/7"]);
        assert_eq!(hierarchy.ancestors("projects/other").count(), 0);
        assert!(!hierarchy.is_deserted("organizations/7"));
        assert!(hierarchy.is_deserted("folders/43"));
        assert!(!hierarchy.is_deserted("projects/other"));
    }

    #[test]
    fn a_cycle_is_reported_whole_and_once() {
        let (hierarchy, report) = read(
            "projects/demo: folders/1\nfolders/1: folders/2\nfolders/2: folders/3\nfolders/3: folders/1\n\
             folders/9: folders/9\n",
        );
        insta::assert_snapshot!(report.render(false));
        assert!(hierarchy.ancestors("projects/demo").count() < 4);
        assert!(hierarchy.ancestors("folders/9").count() < 2);
    }

    #[test]
    fn other_forms_are_refused() {
        let (_, report) = read(
            "demo: folders/42\nproject/demo: folders/42\nprojects/a: projects/b\n\
             organizations/7: folders/1\nprojects/c/locations/x: folders/1\nprojects/d: 42\nfolders/: folders/1\n",
        );
        insta::assert_snapshot!(report.render(false));
    }
}
