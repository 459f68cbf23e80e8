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

#[test]
fn init_writes_nothing_where_one_of_its_files_is_there() {
    let workspace = Workspace::new().write("begun/policies/groups.yaml", "{}\n");
    let outcome = workspace.opgate(&["init", "begun"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(!workspace.path("begun/opgate.yaml").exists());
    assert_eq!(std::fs::read_to_string(workspace.path("begun/policies/groups.yaml")).unwrap(), "{}\n");
}
