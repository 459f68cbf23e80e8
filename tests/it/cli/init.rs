//! `opgate init`: what it writes passes the other commands as it is.

use super::{Workspace, outputs};

/// The output of several commands, without times.
fn shown(workspace: &Workspace, commands: &[&[&str]]) -> String {
    let text = outputs(workspace, commands);
    regex::Regex::new(r", \d+\.\d\d s\n").unwrap().replace_all(&text, ", [time]\n").into_owned()
}

#[test]
fn what_init_writes_passes_check_and_test() {
    let workspace = Workspace::new();
    insta::assert_snapshot!(shown(
        &workspace,
        &[
            &["init", "new"],
            &["check", "--config", "new/opgate.yaml"],
            &["test", "new/policies"],
            &["init", "new"],
        ]
    ));
}

#[test]
fn the_name_of_an_api_names_its_files() {
    let workspace = Workspace::new();
    insta::assert_snapshot!(shown(
        &workspace,
        &[
            &["init", "other", "--service", "book-store.example.org"],
            &["check", "--config", "other/opgate.yaml"],
            &["test", "other/policies"],
            &["init", "bad", "--service", "Book Store"],
        ]
    ));
    assert!(!workspace.path("bad").exists());
}

/// Half a tree would be in the way of the next try.
#[test]
fn init_leaves_nothing_behind_where_it_fails_half_way() {
    let workspace = Workspace::new().write("begun/policies/tests", "");
    let outcome = workspace.opgate(&["init", "begun"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("cannot be written"), "{}", outcome.stderr);
    let left = |folder: &str| -> Vec<_> {
        let entries = std::fs::read_dir(workspace.path(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(
        (left("begun"), left("begun/policies")),
        (vec!["policies".to_owned()], vec!["tests".to_owned()])
    );

    std::fs::create_dir(workspace.path("linked")).unwrap();
    std::os::unix::fs::symlink("nowhere", workspace.path("linked/opgate.yaml")).unwrap();
    let outcome = workspace.opgate(&["init", "linked"]);
    assert!(outcome.stderr.contains("the file is there already"), "{}", outcome.stderr);
    assert_eq!(left("linked"), ["opgate.yaml"]);
}

#[test]
fn init_writes_nothing_where_one_of_its_files_is_there() {
    let workspace = Workspace::new().write("begun/policies/groups.yaml", "{}\n");
    let outcome = workspace.opgate(&["init", "begun"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(!workspace.path("begun/opgate.yaml").exists());
    assert_eq!(std::fs::read_to_string(workspace.path("begun/policies/groups.yaml")).unwrap(), "{}\n");
}
