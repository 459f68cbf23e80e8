//! `opgate fmt`: tidy files, and nothing lost.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{Workspace, outputs};
use crate::harness::root;
use crate::readme::fragments;
use crate::readme::pages::Page;

const UNTIDY: &str = "# The team.\nversion: 1\nbindings:\n  - role: organizations/7/roles/operationsViewer\n    members:\n      - user:b@example.com # Bob\n      - user:a@example.com\n";

#[test]
fn what_is_shipped_and_what_init_writes_is_tidy() {
    let workspace = Workspace::new();
    assert_eq!(workspace.opgate(&["init", "new"]).code, Some(0));
    let outcome = workspace.opgate(&["fmt", "--check", "policies", "new/policies"]);
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (Some(0), "", ""));
    let policies = root().join("policies");
    let outcome = workspace.opgate(&["fmt", "--check", policies.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
}

#[test]
fn files_are_checked_then_written_and_the_decisions_stay() {
    let workspace = Workspace::new()
        .write("policies/allow/projects/untidy.yaml", UNTIDY)
        .write("policies/allow/projects/json.json", "{\"version\": 1, \"bindings\": []}")
        .write(
            "policies/allow/projects/anchored.yaml",
            "bindings: &all\n- role: roles/viewer\n  members: [allUsers]\n",
        );
    let before = workspace.opgate(&["test", "policies"]).stdout;
    insta::assert_snapshot!(outputs(
        &workspace,
        &[
            &["fmt", "--check", "policies"],
            &["fmt", "policies"],
            &["fmt", "policies/allow/projects/untidy.yaml", "policies/allow/projects/json.json"],
            &["fmt", "--check", "policies/allow/projects/untidy.yaml"],
            &["fmt", "config/opgate.yaml", "absent.yaml"],
        ]
    ));
    let read = |name: &str| std::fs::read_to_string(workspace.path(name)).unwrap();
    let expected = "# The team.\nbindings:\n- members:\n  - user:a@example.com\n  - user:b@example.com # Bob\n  role: organizations/7/roles/operationsViewer\nversion: 1\n";
    assert_eq!(read("policies/allow/projects/untidy.yaml"), expected);
    assert_eq!(read("policies/allow/projects/json.json"), "{\n  \"bindings\": [],\n  \"version\": 1\n}\n");
    assert!(read("policies/allow/projects/anchored.yaml").starts_with("bindings: &all"));
    let counted = |text: &str| text.split(',').take(2).collect::<Vec<_>>().join(",");
    assert_eq!(counted(&workspace.opgate(&["test", "policies"]).stdout), counted(&before));
}

/// Others may have to read the file too, and a link has to stay one.
#[test]
fn a_written_file_keeps_its_permissions_and_links_stay() {
    let workspace = Workspace::new().write("elsewhere/untidy.yaml", UNTIDY);
    let (target, link) =
        (workspace.path("elsewhere/untidy.yaml"), workspace.path("policies/allow/projects/link.yaml"));
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let outcome = workspace.opgate(&["fmt", "policies"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (Some(0), "policies/allow/projects/link.yaml\n"),
        "{}",
        outcome.text()
    );
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::read_to_string(target).unwrap().starts_with("# The team.\nbindings:"));
    let left: Vec<_> = std::fs::read_dir(workspace.path("elsewhere")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// An operator who is root must not take a file away from the gate.
#[test]
fn a_written_file_keeps_its_owner() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a file to another user");
        return;
    }
    let workspace = Workspace::new().write("policies/allow/projects/untidy.yaml", UNTIDY);
    let path = workspace.path("policies/allow/projects/untidy.yaml");
    std::os::unix::fs::chown(&path, Some(4711), Some(4712)).unwrap();
    let outcome = workspace.opgate(&["fmt", "policies"]);
    assert_eq!(outcome.stdout, "policies/allow/projects/untidy.yaml\n", "{}", outcome.text());
    let written = path.metadata().unwrap();
    assert_eq!((written.uid(), written.gid()), (4711, 4712));
}

/// Each tree of the pages decides the same before and after.
#[test]
fn the_trees_of_the_pages_grant_the_same_when_they_are_tidy() {
    for name in ["docs/policy.md", "docs/import.md", "docs/coming-from.md", "docs/services.md"] {
        let (workspace, _) = fragments::workspace(&Page::read(name));
        crate::harness::copy(&workspace.path("policies"), &workspace.path("before"));
        let outcome = workspace.opgate(&["fmt", "policies"]);
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.text());
        assert!(workspace.opgate(&["fmt", "--check", "policies"]).code == Some(0), "{name}");
        let outcome = workspace.opgate(&["diff", "before", "policies"]);
        assert_eq!(outcome.stdout, "0 grants gained, 0 grants lost\n", "{name}: {}", outcome.text());
        let (before, after) =
            (workspace.opgate(&["test", "before"]), workspace.opgate(&["test", "policies"]));
        assert_eq!(before.code, after.code, "{name}: {}", after.text());
    }
}
