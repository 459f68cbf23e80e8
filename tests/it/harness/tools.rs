//! Programs and packages that tests install.

use std::path::Path;
use std::process::Command;

/// Installs again if the list of packages has changed.
pub fn once(folder: &Path, list: &str, install: impl FnOnce()) {
    let wanted = std::fs::read(folder.join(list)).unwrap();
    let stamp = folder.join("installed");
    if std::fs::read(&stamp).ok().as_ref() != Some(&wanted) {
        install();
        std::fs::write(stamp, wanted).unwrap();
    }
}

/// Runs a program that must succeed, and gives its output.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{errors}");
    out.into_owned()
}

/// The output of a program that succeeds.
pub fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
