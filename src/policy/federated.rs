//! Federated identities and sets of them, taken apart: which of them no caller can be, and how to write them.
//!
//! The forms are those of <https://cloud.google.com/iam/docs/principal-identifiers>. A value may be percent-encoded
//! ([`crate::principal::value`]). `*` is not a wildcard in it: only behind the pool itself does it stand for everybody.

use std::sync::Arc;

use crate::authn::MappedAttribute;
use crate::principal::caller::everybody_of;
use crate::principal::is_pool_name;
use crate::principal::value::{canonical_of_written, decoded};

/// Why no caller can be what a member names, as `matches no caller: …`, and what to write.
pub(super) type MemberDoubt = (String, String);

/// A federated identity or a set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Federated<'t> {
    pub(super) pool: &'t str,
    pub(super) part: PoolPart<'t>,
}

/// The part of a pool that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolPart<'t> {
    Subject(&'t str),
    Group(&'t str),
    /// A name, and a value where one is written.
    Attribute(&'t str, Option<&'t str>),
    Everybody,
}

/// The longest value that a token's claim is taken for, in bytes.
const MAX_VALUE: usize = 255;

impl<'t> Federated<'t> {
    /// Reads `principal://…` or `principalSet://…`; `None` for any other text.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("principal://") {
            let (pool, subject) = rest.split_once("/subject/")?;
            return Some(Self { pool, part: PoolPart::Subject(subject) });
        }
        let rest = text.strip_prefix("principalSet://")?;
        // The first of these ends the pool. What follows is a value, whatever it looks like.
        let marker = ["/group/", "/attribute."]
            .into_iter()
            .filter_map(|marker| Some((rest.find(marker)?, marker)))
            .min_by_key(|(at, _)| *at);
        let Some((_, marker)) = marker else {
            return rest.strip_suffix("/*").map(|pool| Self { pool, part: PoolPart::Everybody });
        };
        let (pool, value) = rest.split_once(marker)?;
        let part = match marker {
            "/group/" => PoolPart::Group(value),
            _ => match value.split_once('/') {
                Some((name, value)) => PoolPart::Attribute(name, Some(value)),
                None => PoolPart::Attribute(value, None),
            },
        };
        Some(Self { pool, part })
    }

    /// The identifier that callers have, where it ends in a value; `None` for any other.
    pub(super) fn canonical(&self) -> Option<String> {
        let Self { pool, part } = self;
        Some(match part {
            PoolPart::Subject(value) => format!("principal://{pool}/subject/{}", canonical_of_written(value)),
            PoolPart::Group(value) => format!("principalSet://{pool}/group/{}", canonical_of_written(value)),
            PoolPart::Attribute(name, Some(value)) => {
                format!("principalSet://{pool}/attribute.{name}/{}", canonical_of_written(value))
            }
            PoolPart::Attribute(_, None) | PoolPart::Everybody => return None,
        })
    }

    /// Why no caller can be this, whatever the gate's configuration says.
    pub(super) fn doubt(&self) -> Option<MemberDoubt> {
        let Self { pool, part } = self;
        if !is_pool(pool) {
            return Some((
                format!("matches no caller: `{pool}` is not the name of an identity pool"),
                "write `iam.googleapis.com/locations/global/workforcePools/POOL`, or \
                 `iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL`, before it"
                    .to_owned(),
            ));
        }
        let everybody = || format!("write `principalSet://{pool}/*` for everybody of the pool");
        let (what, value) = match part {
            PoolPart::Subject(value) => ("subject", *value),
            PoolPart::Group(value) => ("group", *value),
            PoolPart::Attribute(name, value) => {
                if MappedAttribute::parse(&format!("attribute.{name}")).is_none() {
                    return Some((
                        format!("matches no caller: no attribute can be called `{name}`"),
                        "names of attributes are lower-case letters, digits and `_`".to_owned(),
                    ));
                }
                match value {
                    Some(value) if !value.is_empty() => ("value", *value),
                    _ => {
                        return Some((
                            format!("matches no caller: the value of `attribute.{name}` is missing"),
                            format!("write `principalSet://{pool}/attribute.{name}/VALUE`"),
                        ));
                    }
                }
            }
            PoolPart::Everybody => return None,
        };
        if value == "*" {
            return Some((format!("matches no caller: `*` is not a wildcard as a {what}"), everybody()));
        }
        let held = decoded(value);
        if held.as_ref().is_some_and(|held| held.len() <= MAX_VALUE) {
            return None;
        }
        let limit = if held.is_some() {
            format!("longer than {MAX_VALUE} bytes")
        } else {
            "that is not UTF-8".to_owned()
        };
        let message = format!("matches no caller: no token has a {what} {limit}");
        Some((message, "write the value as the token has it, or percent-encode its UTF-8".to_owned()))
    }

    /// What is well spelled, can match a caller, and is seldom meant.
    pub(super) fn caution(&self) -> Option<MemberDoubt> {
        let value = match self.part {
            PoolPart::Subject(value) | PoolPart::Group(value) | PoolPart::Attribute(_, Some(value)) => value,
            _ => return None,
        };
        value.contains('*').then(|| {
            let message = "is compared as it is written: `*` is not a wildcard in a value";
            (message.to_owned(), "name each value, or everybody of the pool".to_owned())
        })
    }
}

/// The identifier of a federated identity or a set of them as callers have it, however its value is written.
pub(crate) fn canonical_identifier(text: &str) -> String {
    let canonical = Federated::parse(text).and_then(|federated| federated.canonical());
    canonical.unwrap_or_else(|| text.to_owned())
}

/// Everybody of the pool that a federated identity or set is of, as a member: each of its callers is in there.
pub(crate) fn whole_pool_of(text: &str) -> Option<Arc<str>> {
    Federated::parse(text).map(|federated| everybody_of(federated.pool))
}

/// Whether an issuer or a listener can have this pool: their settings ask for the host, and a name behind it.
fn is_pool(pool: &str) -> bool {
    is_pool_name(pool) && pool.split('/').all(|segment| !matches!(segment, "" | "." | ".." | "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";

    #[test]
    fn members_that_no_caller_can_be_are_reported_with_a_fix() {
        let told: String = [
            format!("principalSet://{POOL}/attribute.team"),
            format!("principalSet://{POOL}/attribute.team/"),
            format!("principalSet://{POOL}/attribute.team/*"),
            format!("principalSet://{POOL}/attribute.Team/x"),
            format!("principalSet://{POOL}/group/*"),
            format!("principal://{POOL}/subject/*"),
            format!("principal://{POOL}/subject/{}", "x".repeat(256)),
            format!("principalSet://{POOL}/group/%FF"),
            "principalSet://iam.googleapis.com/*".to_owned(),
            "principalSet://iam.googleapis.com/locations/global/workforcePools/*/*".to_owned(),
            "principalSet://iam.googleapis.com/locations/global/workforcePools/*/group/x".to_owned(),
            "principal://iam.googleapis.com/locations/global/workforcePools/st%61ff/subject/x".to_owned(),
        ]
        .iter()
        .map(|text| {
            let (message, help) = Federated::parse(text).unwrap().doubt().unwrap();
            format!("{text}\n  {message}\n  help: {help}\n")
        })
        .collect();
        insta::assert_snapshot!(told);
    }

    #[test]
    fn members_that_a_caller_can_be_are_not_reported() {
        for text in [
            format!("principalSet://{POOL}/*"),
            format!("principalSet://{POOL}/group/a/attribute.b/*"),
            format!("principalSet://{POOL}/attribute.team/a/b"),
            format!("principalSet://{POOL}/group/caf\u{e9} 50%"),
            format!("principalSet://{POOL}/group/{}", "%20".repeat(255)),
            format!("principal://{POOL}/subject/repo:acme/site:*"),
        ] {
            assert_eq!(Federated::parse(&text).unwrap().doubt(), None, "{text}");
        }
    }
}
