//! `groups.yaml`: who is in a group, one `email: [members]` per group. Groups may hold groups.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Report, Span};
use crate::document::Node;
use crate::policy::model::member::{Member, NotAMember};
use crate::policy::pools::Pools;
use crate::policy::spelling::loop_text;
use crate::principal::Principal;
use crate::source::PolicyFiles;

/// Groups by identifier (`group:oncall@example.com`), none of which contains itself.
#[derive(Debug, Default)]
pub struct Groups {
    by_name: BTreeMap<String, Group>,
}

#[derive(Debug)]
struct Group {
    span: Span,
    /// Canonical identifiers: users, service accounts, federated identities and groups.
    members: Vec<String>,
    /// Members that no caller can be, and why.
    doubtful: Vec<(String, String)>,
}

impl Groups {
    pub(in crate::policy) fn load(files: &PolicyFiles, report: &mut Report) -> Self {
        match files.parse("groups.yaml", report) {
            Some(node) => Self::read(&node, report),
            None => Self::default(),
        }
    }

    pub(in crate::policy) fn read(node: &Node, report: &mut Report) -> Self {
        let mut groups = Self::default();
        let mut nested = Vec::new();
        for (email, key, members) in node.entries(report).unwrap_or_default() {
            let name = match Principal::group(email) {
                Ok(name) => name.as_str().to_owned(),
                Err(error) => {
                    let diagnostic = report.error(&key.span, format!("`{email}` is {error}"));
                    match email.strip_prefix("group:") {
                        Some(bare) => diagnostic.help(format!("write the email alone: `{bare}`")),
                        None => diagnostic.help("write the whole address, for example `oncall@example.com`"),
                    };
                    continue;
                }
            };
            let mut doubtful = Vec::new();
            let members = read_members(members, &mut nested, &mut doubtful, report);
            if let Some(first) = groups.by_name.get(&name) {
                report
                    .error(&key.span, format!("the group `{email}` is given twice"))
                    .related(&first.span, "the first is here; case makes no difference in an email");
                continue;
            }
            groups.by_name.insert(name, Group { span: key.span.clone(), members, doubtful });
        }
        for (name, span) in nested {
            groups.warn_of_missing(&name, &span, report);
        }
        for (group, member) in groups.cycles(report) {
            if let Some(group) = groups.by_name.get_mut(&group) {
                group.members.retain(|other| *other != member);
            }
        }
        groups
    }

    /// Whether there is an entry for `group:EMAIL`.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Every group with its direct members, sorted by name.
    pub(in crate::policy) fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.by_name.iter().map(|(name, group)| (name.as_str(), group.members.as_slice()))
    }

    /// Where a group's entry begins.
    pub(in crate::policy) fn span(&self, name: &str) -> Option<&Span> {
        self.by_name.get(name).map(|group| &group.span)
    }

    /// A member of a group, or of a group in it, that no caller can be, and why.
    pub(in crate::policy) fn doubtful_within(&self, name: &str, pools: &Pools) -> Option<(String, String)> {
        let mut seen = BTreeSet::from([name]);
        let mut pending = vec![name];
        while let Some(group) = pending.pop().and_then(|name| self.by_name.get(name)) {
            if let Some(doubtful) = group.doubtful.first() {
                return Some(doubtful.clone());
            }
            for member in &group.members {
                if let Some((doubt, _)) = pools.doubt(member) {
                    return Some((member.clone(), doubt));
                }
                if self.by_name.contains_key(member) && seen.insert(member) {
                    pending.push(member);
                }
            }
        }
        None
    }

    /// A group whose members are not known: the one of this name, or the first within it, that has no entry and that tokens
    /// do not say either.
    pub(in crate::policy) fn missing_within<'n>(&'n self, name: &'n str, pools: &Pools) -> Option<&'n str> {
        let mut seen = BTreeSet::from([name]);
        let mut pending = vec![name];
        while let Some(name) = pending.pop() {
            let Some(group) = self.by_name.get(name) else {
                if pools.asserts_group(name) == Some(true) {
                    continue;
                }
                return Some(name);
            };
            let nested =
                group.members.iter().map(String::as_str).filter(|member| member.starts_with("group:"));
            pending.extend(nested.filter(|member| seen.insert(member)));
        }
        None
    }

    /// A group that is named somewhere and has no entry is empty, which is seldom meant.
    pub(in crate::policy) fn warn_of_missing(&self, name: &str, span: &Span, report: &mut Report) {
        if self.contains(name) {
            return;
        }
        let email = name.strip_prefix("group:").unwrap_or(name);
        report
            .warning(span, format!("`{name}` has no members: `groups.yaml` has no entry for it"))
            .help(format!("add `{email}: [user:…]` to groups.yaml"));
    }

    /// Reports every cycle; returns a link of each, `(group, member)`, so that a walk ends whatever was written.
    fn cycles(&self, report: &mut Report) -> Vec<(String, String)> {
        let mut cut = Vec::new();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for start in self.by_name.keys() {
            // Depth first, without recursion: a file may nest groups more deeply than the stack allows.
            let mut path: Vec<(&str, usize)> = Vec::new();
            let mut on_path: BTreeSet<&str> = BTreeSet::new();
            if !done.contains(start.as_str()) {
                path.push((start, 0));
                on_path.insert(start);
            }
            while let Some((name, next)) = path.last_mut() {
                let name = *name;
                let group = self.by_name.get(name);
                let Some(member) = group.and_then(|group| group.members.get(*next)) else {
                    done.insert(name);
                    on_path.remove(name);
                    path.pop();
                    continue;
                };
                *next += 1;
                if on_path.contains(member.as_str()) {
                    let mut cycle: Vec<&str> =
                        path.iter().map(|(name, _)| *name).skip_while(|other| other != member).collect();
                    cycle.push(member);
                    if let Some(first) = self.by_name.get(member) {
                        report
                            .error(&first.span, format!("`{member}` contains itself: {}", loop_text(&cycle)))
                            .help("remove one of these memberships");
                    }
                    cut.push((name.to_owned(), member.clone()));
                } else if let Some((member, _)) = self.by_name.get_key_value(member)
                    && !done.contains(member.as_str())
                {
                    on_path.insert(member);
                    path.push((member, 0));
                }
            }
        }
        cut
    }
}

fn read_members(
    node: &Node,
    nested: &mut Vec<(String, Span)>,
    doubtful: &mut Vec<(String, String)>,
    report: &mut Report,
) -> Vec<String> {
    let mut members = Vec::new();
    for (text, item) in node.strings(report) {
        let member = Member::parse(text).and_then(|member| match member {
            Member::Identity(_) | Member::Group(_) => Ok(member),
            _ => Err(NotAMember {
                message: format!("`{text}` cannot be in a group"),
                help: Some(
                    "members of a group are `user:`, `serviceAccount:`, `group:` and `principal://`"
                        .to_owned(),
                ),
            }),
        });
        match member {
            Ok(member) => {
                if let Some((doubt, help)) = member.doubt() {
                    report.warning(&item.span, format!("`{text}` {doubt}")).help(help);
                    doubtful.push((text.to_owned(), doubt));
                }
                if let Member::Group(group) = &member {
                    nested.push((group.as_str().to_owned(), item.span.clone()));
                }
                members.extend(member.identifier().map(|identifier| identifier.to_string()));
            }
            Err(error) => {
                let diagnostic = report.error(&item.span, error.message);
                if let Some(help) = error.help {
                    diagnostic.help(help);
                }
            }
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;

    fn read(text: &str) -> (Groups, Report) {
        let mut report = Report::new();
        let node = document::parse(&Source::new("groups.yaml", text), &mut report).unwrap();
        let groups = Groups::read(&node, &mut report);
        (groups, report)
    }

    #[test]
    fn members_are_kept_in_canonical_spelling() {
        let (groups, report) = read(
            "Oncall@Example.com: [user:Ana@Example.com, group:leads@example.com]\n\
             leads@example.com: []\n",
        );
        assert!(report.diagnostics().is_empty(), "{}", report.render(false));
        let members: Vec<_> = groups.iter().collect();
        assert_eq!(members[0].0, "group:leads@example.com");
        assert_eq!(members[1].0, "group:oncall@example.com");
        assert_eq!(members[1].1, ["user:ana@example.com", "group:leads@example.com"]);
    }

    #[test]
    fn a_group_that_contains_itself_is_reported_with_the_loop() {
        let (_, report) = read(
            "a@x.com: [group:b@x.com]\nb@x.com: [user:u@x.com, group:c@x.com]\n\
             c@x.com: [group:b@x.com]\nd@x.com: [group:d@x.com]\n",
        );
        insta::assert_snapshot!(report.render(false));
    }

    #[test]
    fn a_group_reached_twice_is_not_a_cycle() {
        let (_, report) = read(
            "a@x.com: [group:b@x.com, group:c@x.com]\nb@x.com: [group:d@x.com]\n\
             c@x.com: [group:d@x.com]\nd@x.com: [user:u@x.com]\n",
        );
        assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    }

    #[test]
    fn every_mistake_is_reported() {
        let (_, report) = read(
            "group:a@x.com: []\noncall: []\nb@x.com: [allUsers, domain:x.com, ana@x.com]\n\
             c@x.com: user:ana@x.com\nB@x.com: [group:nowhere@x.com, user:ci@p.iam.gserviceaccount.com]\n",
        );
        insta::assert_snapshot!(report.render(false));
    }
}
