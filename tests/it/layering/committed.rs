//! What no committed file may hold.

use std::process::Command;

use regex::Regex;

use super::nothing;
use crate::harness::root;

#[test]
fn no_committed_file_names_a_developers_machine() {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let Some(listed) = listed.ok().filter(|output| output.status.success()) else {
        eprintln!("no_committed_file_names_a_developers_machine is skipped: this is not a git checkout");
        return;
    };
    let listed = String::from_utf8(listed.stdout).unwrap();
    // In two parts, so that this file does not hold what it looks for.
    let homes = ["/ho", "/Us", "/wo", "/ro"].iter().zip(["me/", "ers/", "rk/", "ot/"]);
    let homes = homes.map(|(start, end)| format!("{start}{end}")).collect::<Vec<_>>().join("|");
    let machine = Regex::new(&format!(r#"(^|[\s"'`=(:])({homes})[A-Za-z0-9_.-]"#)).unwrap();
    assert!(machine.is_match(&format!("see {}ana/opgate", "/home/".replace("home", "Users"))));
    let mut found = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        // A file that is deleted and not yet committed is listed too.
        let Ok(bytes) = std::fs::read(root().join(name)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().enumerate().filter(|(_, line)| machine.is_match(line));
        found.extend(lines.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())));
    }
    nothing(found, "Write paths relative to the project.");
}
