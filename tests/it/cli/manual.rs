//! What packages install beside the program, and what container runtimes run: `opgate man`, `opgate completions`,
//! `opgate health`.

use std::io::Write;
use std::process::{Command, Stdio};

use super::Workspace;
use crate::harness::Gate;

#[test]
fn each_command_has_a_manual_page() {
    let workspace = Workspace::new();
    let outcome = workspace.opgate(&["man", "man"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let page = |name: &str| std::fs::read_to_string(workspace.path(&format!("man/{name}.1"))).unwrap();
    assert!(page("opgate").contains(".TH opgate 1"), "{}", page("opgate"));
    for command in ["run", "check", "test", "explain", "init", "health", "who-can", "import-openapi"] {
        assert!(page(&format!("opgate-{command}")).contains(".SH OPTIONS"), "{command}");
    }
    let nowhere = workspace.opgate(&["man", "policies/groups.yaml"]);
    assert_eq!(nowhere.code, Some(1), "{}", nowhere.stderr);
}

#[test]
fn bash_completes_commands() {
    let workspace = Workspace::new();
    let script = workspace.opgate(&["completions", "bash"]).stdout;
    let asked = format!(
        "{script}\nCOMP_WORDS=(opgate wh); COMP_CWORD=1; _opgate opgate wh opgate; echo \"${{COMPREPLY[*]}}\"\n"
    );
    let mut bash =
        Command::new("bash").arg("--norc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "who-can what-can");
    for shell in ["zsh", "fish"] {
        assert!(workspace.opgate(&["completions", shell]).stdout.contains("opgate"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_whether_a_gate_serves() {
    let workspace = Workspace::new();
    let mut gate = Gate::start();
    let address = format!("admin.address={}", gate.admin);
    let health = |more: &[&str]| {
        let arguments = [&["health", "--config", "config/demo.yaml", "--set", &address], more].concat();
        workspace.opgate(&arguments)
    };
    assert_eq!(health(&[]).code, Some(0), "{}", health(&[]).stderr);
    assert_eq!(health(&["--ready"]).code, Some(0));
    gate.terminate();
    let gone = health(&[]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.starts_with("opgate: cannot ask the gate at 127.0.0.1:"), "{}", gone.stderr);
    let unknown =
        workspace.opgate(&["health", "--config", "config/demo.yaml", "--set", "admin.address=127.0.0.1:0"]);
    assert_eq!(unknown.code, Some(3), "{}", unknown.stderr);
}
