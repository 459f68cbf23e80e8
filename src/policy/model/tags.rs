//! `tags.yaml`: the resource tags that conditions ask about with `resource.matchTag` and its siblings
//! (<https://cloud.google.com/iam/docs/tags-access-control>), one `resource: {key: value}` per line.
//!
//! Google's Resource Manager knows the tags of a resource. Opgate asks no other service, so this file has to say them.
//! Without the file no tag is known, and a condition on tags has no value; with it the answer is yes or no. Tags are
//! inherited by the names below a resource, and by what lies in it (`hierarchy.yaml`), until a nearer resource has the
//! same key.

use std::collections::HashMap;

use crate::diagnostic::Report;
use crate::document::{Node, nearest};
use crate::policy::model::hierarchy::Hierarchy;
use crate::policy::model::resource::{ROOTS, ResourceName};
use crate::policy::spelling;
use crate::source::PolicyFiles;

/// The tags of resources.
#[derive(Debug, Default)]
pub(in crate::policy) struct Tags {
    by_resource: HashMap<Box<str>, Box<[Tag]>>,
    hierarchy: Hierarchy,
    /// The longest name of a resource with tags, in bytes: a longer name need not be looked up.
    longest: usize,
    named: bool,
    identified: bool,
}

/// A key and its value, both in the file's spelling.
#[derive(Debug)]
struct Tag {
    key: Box<str>,
    value: Box<str>,
}

/// The two ways to name a key and a value. A file may use either or both; it does not say which name has which id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum TagSpelling {
    /// `123456789012/env` and `prod`.
    Named,
    /// `tagKeys/1` and `tagValues/2`.
    Identified,
}

impl TagSpelling {
    /// Why tags are not known in this spelling.
    pub(in crate::policy) fn lack(self) -> &'static str {
        match self {
            Self::Named => "no tags.yaml names a tag",
            Self::Identified => "no tags.yaml has the id of a tag",
        }
    }

    /// The next step.
    pub(in crate::policy) fn remedy(self) -> &'static str {
        match self {
            Self::Named => {
                "list what is tagged in tags.yaml, as `projects/demo: {123456789012/env: prod}`; until then such a \
                 condition never grants, and a deny rule that needs it always denies"
            }
            Self::Identified => {
                "list what is tagged in tags.yaml, as `projects/demo: {tagKeys/1: tagValues/2}`; until then such a \
                 condition never grants, and a deny rule that needs it always denies"
            }
        }
    }
}

/// What the ids of keys and of values begin with.
const KEY_IDS: &str = "tagKeys/";
const VALUE_IDS: &str = "tagValues/";

/// Longest short name of a key or value (<https://cloud.google.com/resource-manager/docs/tags/tags-creating-and-managing>).
const MAX_SHORT_NAME: usize = 256;

impl Tags {
    pub(in crate::policy) fn load(files: &PolicyFiles, hierarchy: &Hierarchy, report: &mut Report) -> Self {
        match files.parse("tags.yaml", report) {
            Some(node) => Self::read(&node, hierarchy, report),
            None => Self::default(),
        }
    }

    pub(in crate::policy) fn read(node: &Node, hierarchy: &Hierarchy, report: &mut Report) -> Self {
        let mut tags = Self { hierarchy: hierarchy.clone(), ..Self::default() };
        for (resource, key, listed) in node.entries(report).unwrap_or_default() {
            let attachable = check_resource(resource, key, report);
            let read: Vec<Tag> = listed
                .entries(report)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(key, node, value)| tags.tag(key, node, value, report))
                .collect();
            if attachable {
                tags.longest = tags.longest.max(resource.len());
                tags.by_resource.insert(resource.into(), read.into());
            }
        }
        tags
    }

    fn tag(&mut self, key: &str, node: &Node, value: &Node, report: &mut Report) -> Option<Tag> {
        let spelling = check_key(key, node, report);
        let text = value.string(report)?;
        let spelling = spelling?;
        check_value(text, spelling, value, report).then(|| {
            match spelling {
                TagSpelling::Named => self.named = true,
                TagSpelling::Identified => self.identified = true,
            }
            Tag { key: key.into(), value: text.into() }
        })
    }

    /// Whether tags in this spelling are known at all: a resource without one has none, then.
    pub(in crate::policy) fn are_known(&self, spelling: TagSpelling) -> bool {
        match spelling {
            TagSpelling::Named => self.named,
            TagSpelling::Identified => self.identified,
        }
    }

    /// The value that a resource has for a key: its own, or else the nearest that it inherits.
    pub(in crate::policy) fn value(&self, resource: ResourceName<'_>, key: &str) -> Option<&str> {
        let find = |name: &str| {
            let tags = self.by_resource.get(name)?;
            tags.iter().find(|tag| &*tag.key == key).map(|tag| &*tag.value)
        };
        let own = match self.hierarchy.other_name(resource) {
            None => resource.chain().filter(|name| name.len() <= self.longest).find_map(find),
            Some(other) => {
                let names = resource.chain().zip(ResourceName::new(&other).chain());
                names
                    .flat_map(|(name, other)| [name, other])
                    .filter(|name| name.len() <= self.longest)
                    .find_map(find)
            }
        };
        // The hierarchy has few links, whatever a request asks about.
        own.or_else(|| self.hierarchy.ancestors(resource.root()).find_map(find))
    }

    /// Every key that some resource has.
    pub(in crate::policy) fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_resource.values().flatten().map(|tag| &*tag.key)
    }

    /// Every value that some resource has for a key.
    pub(in crate::policy) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.by_resource.values().flatten().filter(move |tag| &*tag.key == key).map(|tag| &*tag.value)
    }
}

fn check_resource(resource: &str, node: &Node, report: &mut Report) -> bool {
    if let Err(error) = ResourceName::attachable(resource) {
        report
            .error(&node.span, format!("`{resource}` names no resource: {error}"))
            .help("write a relative name, for example `projects/demo: {123456789012/env: prod}`");
        return false;
    }
    if let Some(reason) = spelling::unnameable(resource) {
        report
            .error(&node.span, format!("these tags belong to no resource: {reason}"))
            .help("write the name as requests write it");
        return false;
    }
    let collection = resource.split('/').next().unwrap_or_default();
    if !ROOTS.contains(&collection)
        && let Some(root) = nearest(collection, ROOTS.into_iter())
    {
        report
            .warning(
                &node.span,
                format!("`{resource}` lies in no project: its name begins with `{collection}`"),
            )
            .help(format!("did you mean `{root}/…`?"));
    }
    true
}

fn check_key(key: &str, node: &Node, report: &mut Report) -> Option<TagSpelling> {
    if let Some(id) = key.strip_prefix(KEY_IDS) {
        if is_number(id) {
            return Some(TagSpelling::Identified);
        }
        report
            .error(&node.span, format!("`{key}` is not the id of a tag key"))
            .help("an id is a number: `tagKeys/281475012345678`");
        return None;
    }
    let named = key.split_once('/').filter(|(owner, name)| is_owner(owner) && is_short_name(name));
    if named.is_none() {
        let diagnostic = report.error(&node.span, format!("`{key}` is not a tag key"));
        if key.contains('/') {
            diagnostic.help(
                "write the organization's number or the project's id, `/`, and the key's short name, which has no \
                 quote and no slash",
            );
        } else {
            diagnostic.help(format!(
                "write where it belongs as well: `123456789012/{key}`, or its id, `tagKeys/…`"
            ));
        }
    }
    named.map(|_| TagSpelling::Named)
}

fn check_value(value: &str, spelling: TagSpelling, node: &Node, report: &mut Report) -> bool {
    let id = value.strip_prefix(VALUE_IDS);
    let (fits, help) = match spelling {
        TagSpelling::Named if id.is_some() => {
            (false, "a key that is named has a value that is named; an id goes with `tagKeys/…`")
        }
        TagSpelling::Named => {
            (is_short_name(value), "write the value's short name alone, which has no quote and no slash")
        }
        TagSpelling::Identified => {
            (id.is_some_and(is_number), "a key's id goes with a value's id: `tagValues/281478123456789`")
        }
    };
    if !fits {
        report.error(&node.span, format!("`{value}` is not a value of this tag key")).help(help);
    }
    fits
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number of an organization, or the id or number of a project; ids of old have a domain and a colon.
fn is_owner(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

fn is_short_name(text: &str) -> bool {
    let refused = |character: char| matches!(character, '\'' | '"' | '\\' | '/') || character.is_control();
    !text.is_empty() && text.chars().count() <= MAX_SHORT_NAME && !text.contains(refused)
}

#[cfg(test)]
mod tests;
