//! The output of the commands as a user sees it: exit code and both streams.
//!
//! Each test works in a copy of the shipped `config/` and `policies/`, so that the paths in messages are relative and
//! the same on every machine.

pub mod check;
mod explain;
mod exports;
mod fmt;
mod diff;
mod import;
mod init;
mod manual;
mod granted;
mod run;
mod shadow;
mod test;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness;
use crate::schema::assert_accepted;

/// A copy of the shipped files, which a test may break.
pub struct Workspace {
    directory: TempDir,
}

/// The result of a command.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Workspace {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["config", "policies"] {
            harness::copy(&harness::root().join(name), &directory.path().join(name));
        }
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and creates its directories.
    pub fn write(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Replaces text that occurs once in a file.
    pub fn edit(self, name: &str, old: &str, new: &str) -> Self {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {name}");
        self.write(name, &text.replace(old, new))
    }

    pub fn remove(self, name: &str) -> Self {
        let path = self.path(name);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
        self
    }

    /// `opgate` in this directory, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = harness::opgate();
        command.current_dir(self.directory.path()).args(arguments);
        command
    }

    /// A line of shell in this directory, with the program under test as `opgate`.
    pub fn shell(&self, line: &str) -> Outcome {
        Outcome::of(self.shell_command(line))
    }

    /// The same, not yet started.
    pub fn shell_command(&self, line: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_opgate")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPGATE_")) {
            command.env_remove(name);
        }
        command.env("PATH", path).current_dir(self.directory.path()).args(["-c", line]);
        command
    }

    pub fn opgate(&self, arguments: &[&str]) -> Outcome {
        let outcome = Outcome::of(self.command(arguments));
        // What is accepted is valid by the schemas too.
        if let (["check", "--config", config], Some(0)) = (arguments, outcome.code) {
            assert_accepted(&self.path(config), &[]);
        }
        outcome
    }

    pub fn opgate_dev(&self, arguments: &[&str]) -> Outcome {
        let mut command = harness::opgate_dev();
        command.current_dir(self.directory.path()).args(arguments);
        Outcome::of(command)
    }
}

impl Outcome {
    pub fn of(mut command: Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Everything in one text. Parts that change from build to build are replaced.
    pub fn text(&self) -> String {
        let code = self.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
        let text =
            format!("exit: {code}\n----- stdout -----\n{}----- stderr -----\n{}", self.stdout, self.stderr);
        let text = text.replace(env!("CARGO_PKG_VERSION"), "[version]");
        let text = regex::Regex::new(r"os error \d+").unwrap().replace_all(&text, "os error N").into_owned();
        let revision = regex::Regex::new("(revision |\"policyRevision\": \")[0-9a-f]{12}").unwrap();
        revision.replace_all(&text, "${1}[revision]").into_owned()
    }
}

/// One snapshot of several commands, each under its command line.
fn outputs(workspace: &Workspace, commands: &[&[&str]]) -> String {
    transcript("opgate", commands, |arguments| workspace.opgate(arguments))
}

/// What several commands of a program print, each under its command line.
pub fn transcript(program: &str, commands: &[&[&str]], run: impl Fn(&[&str]) -> Outcome) -> String {
    let shown = commands
        .iter()
        .map(|arguments| format!("$ {program} {}\n{}", arguments.join(" "), run(arguments).text()));
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn help_exits_0_if_it_was_asked_for_and_3_if_not() {
    let workspace = Workspace::new();
    insta::assert_snapshot!(outputs(&workspace, &[&[], &["--help"], &["help", "check"]]));
}

#[test]
fn every_command_has_its_help() {
    let workspace = Workspace::new();
    insta::assert_snapshot!(outputs(
        &workspace,
        &[
            &["init", "--help"],
            &["run", "--help"],
            &["check", "--help"],
            &["test", "--help"],
            &["explain", "--help"],
            &["who-can", "--help"],
            &["what-can", "--help"],
            &["fmt", "--help"],
            &["import", "--help"],
            &["import", "roles", "--help"],
            &["import", "openapi", "--help"],
            &["import", "grpc-gateway", "--help"],
            &["diff", "--help"],
            &["schema", "--help"],
            &["health", "--help"],
            &["man", "--help"],
            &["completions", "--help"],
            &["version", "--help"],
        ]
    ));
}

#[test]
fn unknown_commands_and_missing_arguments_are_invalid() {
    let workspace = Workspace::new();
    insta::assert_snapshot!(outputs(
        &workspace,
        &[
            &["chek"],
            &["run"],
            &["run", "--config"],
            &["check", "--config", "config/opgate.yaml", "--otput", "json"],
            &["check", "--config", "config/opgate.yaml", "--output", "xml"],
            &["run", "--config", "config/opgate.yaml", "--set", "admin.address"],
            &["run", "--config", "config/opgate.yaml", "--set", "admin..address=x"],
        ]
    ));
}

#[test]
fn the_version_is_printed_as_text_and_as_json() {
    let workspace = Workspace::new();
    insta::assert_snapshot!(outputs(
        &workspace,
        &[&["version"], &["--version"], &["version", "--output", "json"]]
    ));
}
