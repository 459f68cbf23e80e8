//! The permissions of deny rules, in the spelling of IAM v2.

use std::fmt;

use crate::diagnostic::Report;
use crate::document::Node;
use crate::policy::model::located::Location;

/// A set of permissions as deny rules write it: `SERVICE/resource.verb`, `SERVICE/resource.*`, `SERVICE/*.verb`,
/// `SERVICE/*.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(Vec<PermissionPattern>);

/// One of [`Permissions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct PermissionPattern {
    /// `cloudaicompanion`, of `cloudaicompanion.googleapis.com/operations.cancel`.
    service: Box<str>,
    resource: Option<Box<str>>,
    verb: Option<Box<str>>,
}

/// A pattern as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct WrittenPattern {
    pub(in crate::policy) pattern: PermissionPattern,
    pub(in crate::policy) text: Box<str>,
    pub(in crate::policy) location: Location,
}

/// Reads a list of permissions.
pub(super) fn read(node: &Node, report: &mut Report) -> Vec<WrittenPattern> {
    let mut patterns = Vec::new();
    let texts = node.strings(report);
    if texts.is_empty() {
        report.error(&node.span, "the list of permissions is empty").help("name one, or leave the field out");
    }
    for (text, item) in texts {
        match PermissionPattern::parse(text) {
            Some(pattern) => {
                let location = Location::of(&item.span);
                patterns.push(WrittenPattern { pattern, text: text.into(), location });
            }
            None => {
                let diagnostic =
                    report.error(&item.span, format!("`{text}` is not a permission of a deny rule"));
                let mut parts = text.split('.');
                match (text.contains('/'), parts.next(), parts.next(), parts.next(), parts.next()) {
                    (false, Some(service), Some(resource), Some(verb), None) => diagnostic
                        .help(format!("deny rules write it `{service}.googleapis.com/{resource}.{verb}`")),
                    _ => diagnostic.help(
                        "write `SERVICE.googleapis.com/RESOURCE.VERB`; `*` may stand for the resource, the verb or both",
                    ),
                };
            }
        }
    }
    patterns
}

impl FromIterator<PermissionPattern> for Permissions {
    fn from_iter<I: IntoIterator<Item = PermissionPattern>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}

impl Permissions {
    /// Whether a permission (`cloudaicompanion.operations.cancel`) is one of them.
    pub fn contain(&self, permission: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(permission))
    }

    /// Each pattern as written, and whether it covers a permission.
    pub(in crate::policy) fn matching(&self, permission: &str) -> Vec<(String, bool)> {
        self.0.iter().map(|pattern| (pattern.to_string(), pattern.matches(permission))).collect()
    }
}

/// A permission as IAM v2 spells it: `cloudaicompanion.googleapis.com/operations.cancel`.
pub fn qualified(permission: &str) -> String {
    match permission.split_once('.') {
        Some((service, rest)) => format!("{}/{rest}", host_of(service)),
        None => permission.to_owned(),
    }
}

/// The host that stands for the service of permissions; that of the resource manager has another name.
fn host_of(service: &str) -> String {
    let service = if service == "resourcemanager" { "cloudresourcemanager" } else { service };
    format!("{service}.googleapis.com")
}

impl fmt::Display for PermissionPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<Box<str>>| part.as_deref().unwrap_or("*").to_owned();
        write!(formatter, "{}/{}.{}", host_of(&self.service), part(&self.resource), part(&self.verb))
    }
}

impl PermissionPattern {
    /// `FQDN/resource.verb`. The service of a permission is the FQDN without `.googleapis.com`; that of the resource
    /// manager is the exception (<https://cloud.google.com/iam/docs/deny-permissions-support>).
    pub(in crate::policy) fn parse(text: &str) -> Option<Self> {
        let (host, rest) = text.split_once('/')?;
        let service = match host.strip_suffix(".googleapis.com")? {
            "cloudresourcemanager" => "resourcemanager",
            service => service,
        };
        let (resource, verb) = rest.split_once('.')?;
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let part = |word: &str| match word {
            "*" => Some(None),
            word if is_word(word) => Some(Some(word.into())),
            _ => None,
        };
        let plain = service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if service.is_empty() || !plain {
            return None;
        }
        Some(Self { service: service.into(), resource: part(resource)?, verb: part(verb)? })
    }

    /// Whether the pattern covers a permission.
    pub(in crate::policy) fn matches(&self, permission: &str) -> bool {
        let Some((service, rest)) = permission.split_once('.') else { return false };
        let Some((resource, verb)) = rest.split_once('.') else { return false };
        let fits =
            |wanted: &Option<Box<str>>, word: &str| wanted.as_deref().is_none_or(|wanted| wanted == word);
        service == &*self.service && fits(&self.resource, resource) && fits(&self.verb, verb)
    }
}
