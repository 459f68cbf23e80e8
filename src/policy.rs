//! Who may do what: Google's IAM, decided from files.
//!
//! ```text
//! roles/          role        ┐
//! hierarchy.yaml  hierarchy   ├─► allow, deny ─► compile ─► index ┐
//! groups.yaml     groups      ┘   (with their conditions)         ├─► Policy ─► decide ─► authorize ─► Permit
//! tags.yaml       tags ───────────────────────────────────────────┤
//! boundaries/     boundary ───────────────────────────────────────┘
//! ```
//!
//! A subject holds a permission on a resource when some binding on the resource's chain gives one of the subject's
//! identities a role that holds the permission. The chain is the resource itself, its ancestors by name, then
//! `hierarchy.yaml` up to the organization. Nothing else allows anything, and no binding takes anything away. A deny
//! rule on the chain does, and so does a principal access boundary that does not contain the resource. Both are checked
//! first, and no binding grants what they forbid. A condition that cannot be evaluated never grants and always denies.
//!
//! Pure: files come as [`PolicyFiles`], and there is no clock and no network.

pub mod attributes;
mod boundary;
mod compile;
mod condition;
pub mod decide;
pub mod explain;
mod federated;
mod index;
pub mod lint;
mod names;
pub mod permit;
mod pools;
pub mod refusal;
mod rules;
mod spelling;
mod subject;
mod tree;
pub mod who_can;

pub use self::attributes::{Attribute, Attributes, Consulted};
pub use self::boundary::{Applies, OutOfBounds};
pub use self::condition::{Outcome, Read};
pub use self::model::resource::ResourceName;
pub use self::permit::{Grant, Permit};
pub use self::pools::Pools;
pub use self::refusal::{Denied, Granted, Refusal, Tested, Unmet};
pub use self::rules::{RuleKind, WrittenRule};
pub use self::subject::Subject;
pub use self::tree::{Counts, Policy};

#[cfg(test)]
mod tests;
pub mod model;
