//! Google's own roles, as published: each loads, and facts known about it hold.

use std::time::SystemTime;

use opgate::diagnostic::Report;
use opgate::policy::{Attributes, Policy, ResourceName, Subject};
use opgate::principal::Principal;
use opgate::source::PolicySource;

use crate::harness::corpora;

/// Whether a role allows cancelling operations of its service.
const CANCELS: [(&str, &str, bool); 11] = [
    ("cloudaicompanion.admin", "cloudaicompanion.operations.cancel", true),
    ("cloudaicompanion.editor", "cloudaicompanion.operations.cancel", true),
    ("cloudaicompanion.user", "cloudaicompanion.operations.cancel", false),
    ("cloudaicompanion.viewer", "cloudaicompanion.operations.cancel", false),
    ("cloudtranslate.admin", "cloudtranslate.operations.cancel", true),
    ("cloudtranslate.editor", "cloudtranslate.operations.cancel", true),
    ("cloudtranslate.user", "cloudtranslate.operations.cancel", false),
    ("cloudtranslate.viewer", "cloudtranslate.operations.cancel", false),
    ("dataproc.admin", "dataproc.operations.cancel", true),
    ("dataproc.editor", "dataproc.operations.cancel", true),
    ("dataproc.viewer", "dataproc.operations.cancel", false),
];

#[test]
fn published_roles_load_and_hold_what_they_should() {
    let Some(corpora) = corpora("the roles corpus") else { return };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::create_dir_all(root.join("roles")).unwrap();
    std::fs::create_dir_all(root.join("allow/projects")).unwrap();
    let mut roles = 0;
    for entry in std::fs::read_dir(corpora.join("roles")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, root.join("roles").join(path.file_name().unwrap())).unwrap();
        roles += 1;
    }
    assert_eq!(roles, CANCELS.len());
    let bindings: String = CANCELS
        .iter()
        .map(|(role, ..)| format!("- role: roles/{role}\n  members: ['user:{role}@example.com']\n"))
        .collect();
    std::fs::write(root.join("allow/projects/demo.yaml"), format!("bindings:\n{bindings}")).unwrap();

    let mut report = Report::new();
    let files = PolicySource::directory(root).read(&mut report).unwrap();
    let policy = Policy::load(&files, &[], &mut report);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    assert_eq!(policy.counts().roles, roles);
    let resource = ResourceName::new("projects/demo/locations/us-central1/operations/o");
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    for (role, permission, expected) in CANCELS {
        let holder = Principal::user(&format!("{role}@example.com")).unwrap();
        let decided = policy.decide(Subject::of(&holder), permission, resource, &attributes);
        assert_eq!(decided.is_ok(), expected, "{role}");
    }
    println!("{roles} of {roles} roles load");
}
