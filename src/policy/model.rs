//! The policy as it is written, with the places of its parts: every file is parsed once, here.
//!
//! What a tree defines (roles, hierarchy, groups, tags) comes first; deny and allow policies are checked against it.
//! `compile` makes of a policy what decides and drops it. [`super::lint`] keeps the whole as a `Model`.

pub mod allow;
pub(in crate::policy) mod audit_config;
pub(crate) mod boundary;
pub(super) mod context;
pub mod deny;
mod exported;
pub mod groups;
pub mod hierarchy;
pub(super) mod located;
pub mod member;
pub(crate) mod principal_set;
pub mod resource;
pub mod role;
pub(super) mod tags;
pub mod unmatched;

use self::allow::AllowPolicy;
use self::context::{Context, Definitions};
use self::deny::DenyPolicy;
use super::pools::Pools;
use crate::diagnostic::Report;
use crate::document::nearest;
use crate::source::PolicyFiles;

/// All policies of a tree, as written.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) definitions: Definitions,
    pub(super) deny: Vec<DenyPolicy>,
    pub(super) allow: Vec<AllowPolicy>,
}

impl Model {
    /// Reads a tree whose boundaries nothing is asked about.
    pub(super) fn load(files: &PolicyFiles, report: &mut Report) -> Self {
        let definitions = Definitions::load(files, &[], report);
        let pools = Pools::default();
        let (deny, allow) = policies(files.clone(), definitions.context(&pools), report);
        let allow = allow.collect();
        Self { definitions, deny, allow }
    }
}

/// The deny policies of a tree, and its allow policies one by one: of these, no more than one is in memory as written, and
/// the text of each file is dropped once the policy is read and used.
pub(super) fn policies<'r>(
    files: PolicyFiles,
    context: Context<'r>,
    report: &'r mut Report,
) -> (Vec<DenyPolicy>, impl Iterator<Item = AllowPolicy> + 'r) {
    let allowing = allow::files(&files, report);
    let denials = deny::load(&files, context, report);
    // The iterator owns the texts of allow policies; the others are not needed any more.
    drop(files);
    (denials, allowing.into_iter().filter_map(move |file| AllowPolicy::load(&file, context, report)))
}

/// What may stand at the top of a policy tree, beside `README*`.
const TOP: [&str; 9] = [
    "services",
    "roles",
    "allow",
    "deny",
    "boundaries",
    "hierarchy.yaml",
    "groups.yaml",
    "tags.yaml",
    "tests",
];

/// Reports what does not belong at the top of the tree: rules in a folder of another name would not be read.
pub(super) fn check_top(files: &PolicyFiles, report: &mut Report) {
    for name in files.top(report) {
        if TOP.contains(&name) || name.starts_with("README") {
            continue;
        }
        let diagnostic =
            report.file_error(&files.path(name), format!("a policies directory has no `{name}`"));
        match nearest(name, TOP.into_iter()) {
            Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
            None => diagnostic.help(format!("its entries are {}; move anything else away", TOP.join(", "))),
        };
    }
}
