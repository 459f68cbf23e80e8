//! The policy as it is written: allow, deny and role files, with their places.

pub mod allow;
pub(crate) mod boundary;
pub mod deny;
pub mod groups;
pub mod hierarchy;
pub mod member;
pub(crate) mod principal_set;
pub mod resource;
pub mod role;
pub(super) mod tags;

use crate::diagnostic::Report;
use crate::document::nearest;
use crate::source::PolicyFiles;

pub(super) use self::principal_set::PrincipalSet;

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
