//! How long a file is, what it is called, and where a lint may be lifted.

use std::path::Path;

use regex::Regex;

use super::{nothing, sources};

/// More and a file has two subjects: split it.
const MAX_LINES: usize = 500;

#[test]
fn files_are_short_named_for_their_subject_and_say_what_they_are_for() {
    let vague = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "mod"];
    let mut found = Vec::new();
    for file in sources() {
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            found.push(format!("{} has {lines} lines: split it at its subjects", file.name));
        }
        let stem = Path::new(&file.name).file_stem().unwrap().to_str().unwrap();
        let folders = file.name.split('/');
        if vague.contains(&stem) || folders.into_iter().any(|folder| vague.contains(&folder)) {
            found.push(format!("{}: name it for what it holds", file.name));
        }
        let is_test_module = file.name.ends_with("/tests.rs") || file.name.contains("/tests/");
        if !file.text.starts_with("//!") && !is_test_module {
            found.push(format!("{} does not open with `//!`: say what it is for", file.name));
        }
    }
    nothing(found, "See the layout in src/lib.rs.");
}

/// `#[allow]` outlives its reason; `#[expect]` is a warning once it is not needed.
#[test]
fn a_lint_is_lifted_at_its_place_and_with_a_reason() {
    let attribute = Regex::new(r"(?s)#!?\[(allow|expect)\((.*?)\)\]").unwrap();
    let mut found = Vec::new();
    for file in sources() {
        let code: String = file
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .fold(String::new(), |text, line| text + line + "\n");
        if file.name == "tests/it/layering/house.rs" {
            continue;
        }
        for lifted in attribute.captures_iter(&code) {
            if !lifted[2].contains("reason") {
                found.push(format!("{}: `{}` has no reason", file.name, &lifted[2]));
            }
            if &lifted[1] == "allow" && file.name.starts_with("src/") {
                found.push(format!("{}: write #[expect({})]", file.name, &lifted[2]));
            }
        }
    }
    nothing(found, "A lint that is lifted says why.");
}
