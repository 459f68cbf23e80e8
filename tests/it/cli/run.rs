//! `opgate run` when it cannot start: the message and the exit code.

use super::Workspace;
use super::check::assert_errors_are_of_use;

const FREE: [&str; 4] = ["--set", "listeners.0.address=127.0.0.1:0", "--set", "admin.address=127.0.0.1:0"];

#[test]
fn a_port_that_is_taken_is_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let workspace = Workspace::new();
    for key in ["listeners.0.address", "admin.address"] {
        let setting = format!("{key}={address}");
        let run = [&["run", "--config", "config/demo.yaml"], &FREE[..], &["--set", &setting]].concat();
        let outcome = workspace.opgate(&run);
        assert_eq!(outcome.code, Some(1), "{}", outcome.text());
        assert_eq!(outcome.stdout, "");
        insta::assert_snapshot!("a_port_that_is_taken", outcome.text().replace(&address, "[address]"));
    }
}

#[test]
fn an_audit_log_that_cannot_be_opened_is_a_failure() {
    let workspace = Workspace::new();
    let run =
        [&["run", "--config", "config/demo.yaml"], &FREE[..], &["--set", "audit.output=no/such/audit.jsonl"]];
    insta::assert_snapshot!(workspace.opgate(&run.concat()).text());
}

#[test]
fn a_broken_policy_is_not_served() {
    let workspace = Workspace::new().edit("policies/groups.yaml", "- user:lea@example.com", "- user:lea");
    let outcome = workspace.opgate(&[&["run", "--config", "config/demo.yaml"], &FREE[..]].concat());
    assert_eq!(outcome.code, Some(3), "{}", outcome.text());
    assert_errors_are_of_use(&outcome.stderr);
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let outcome = Workspace::new().opgate(&["run", "--config", "config/opgat.yaml"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.text());
    assert_errors_are_of_use(&outcome.stderr);
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn an_upgrade_requires_a_socket() {
    let run = [&["run", "--config", "config/demo.yaml", "--upgrade"], &FREE[..]];
    let outcome = Workspace::new().opgate(&run.concat());
    assert_eq!(outcome.code, Some(3), "{}", outcome.text());
    insta::assert_snapshot!(outcome.text());
}
