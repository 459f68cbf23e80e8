//! The shape of the source: which module may name which, and what no file may contain.
//!
//! A request goes one way (the diagram in `src/lib.rs`). What fails here is either a mistake or a decision: then the table is
//! where it is written down.

mod committed;
mod graph;
mod house;
mod shape;
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

pub use self::table::MAY_NAME;
use crate::harness::root;

/// Modules at the edge, which start the others: the commands, the process, the library's own file, and the programs.
const EDGES: &[&str] = &["cli", "server", "lib", "main", "bin"];

/// The module that is not part of the product, and the one program that is made of it.
const DEV: &str = "dev";
const DEV_PROGRAM: &str = "src/bin/opgate-dev.rs";

/// Modules that decide, and what they are built from: no I/O framework and no clock.
const PURE: &[&str] = &[
    "http",
    "grpc",
    "trace_context",
    "catalog",
    "policy",
    "decision",
    "simulation",
    "import",
    "source",
    "cel",
    "reason",
    "principal",
    "bytewise",
    "json",
    "document",
    "diagnostic",
];

/// The file of a pure module that reads the disk.
const READS_THE_DISK: &str = "src/source/directory.rs";

const IMPURE: &[&str] =
    &["h2::", "tokio", "reqwest", "axum", "SystemTime::now", "Instant::now", "clock::now"];

struct File {
    /// From the project's root: `src/http/path.rs`.
    name: String,
    text: String,
}

impl File {
    /// The module right below the crate that it belongs to.
    fn module(&self) -> &str {
        let path = self.name.strip_prefix("src/").unwrap();
        path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The part that is compiled into the product, without comments.
    fn code(&self) -> String {
        let tests = Regex::new(r"#\[cfg\(test\)\]\n(?:pub(?:\([^)]*\))? )?mod tests \{").unwrap();
        let product = tests.split(&self.text).next().unwrap();
        product.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("/tests.rs") || self.name.contains("/tests/")
    }
}

fn sources() -> Vec<File> {
    let mut files = Vec::new();
    for directory in ["src", "tests"] {
        collect(&root().join(directory), &mut files);
    }
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
}

fn collect(directory: &Path, files: &mut Vec<File>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            files.push(File { name, text: std::fs::read_to_string(path).unwrap() });
        }
    }
}

fn product() -> impl Iterator<Item = File> {
    sources().into_iter().filter(|file| file.name.starts_with("src/") && !file.is_test())
}

/// The modules of the crate that the code names: `crate::a::…` and `use crate::{a, b::c}`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let single = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let group = Regex::new(r"(?s)\bcrate::\{(.*?)\};").unwrap();
    let nested = Regex::new(r"\{[^{}]*\}").unwrap();
    let member = Regex::new(r"(?:^|,)\s*([a-z_]+)").unwrap();
    let mut names: BTreeSet<String> = single.captures_iter(code).map(|found| found[1].to_owned()).collect();
    for found in group.captures_iter(code) {
        // Only what stands right below `crate`: nested braces are parts of a member.
        let mut flat = found[1].to_owned();
        while nested.is_match(&flat) {
            flat = nested.replace_all(&flat, "").into_owned();
        }
        names.extend(member.captures_iter(&flat).map(|found| found[1].to_owned()));
    }
    names
}

fn nothing(found: Vec<String>, what_to_do: &str) {
    assert!(found.is_empty(), "\n  {}\n\n{what_to_do}\n", found.join("\n  "));
}

#[test]
fn named_modules_are_found_however_they_are_imported() {
    let code = "use crate::a::B;\nuse crate::{c::{D, e::F}, g, h as i};\nfn f() { crate::j::k(); }";
    assert_eq!(named_modules(code).into_iter().collect::<Vec<_>>(), ["a", "c", "g", "h", "j"]);
}

#[test]
fn every_stage_names_only_what_comes_before_it() {
    let mut found = Vec::new();
    for file in product() {
        let module = file.module();
        if EDGES.contains(&module) {
            continue;
        }
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            found.push(format!("{} belongs to `{module}`, which the table does not have", file.name));
            continue;
        };
        for name in named_modules(&file.code()) {
            if name != module && !allowed.contains(&name.as_str()) {
                found.push(format!("{} names `{name}`: `{module}` may not", file.name));
            }
        }
    }
    nothing(
        found,
        "Pass the value in from a later stage, or move the type to the module that both are built from. If the new \
         edge is meant, add it to MAY_NAME in tests/it/layering.rs and say why there.",
    );
}

/// The table has no unused edge: it would allow a dependency that was never decided on.
#[test]
fn every_allowed_edge_is_used() {
    let files: Vec<File> = product().collect();
    let mut found = Vec::new();
    for (module, allowed) in MAY_NAME {
        let used: BTreeSet<String> = files
            .iter()
            .filter(|file| file.module() == *module)
            .flat_map(|file| named_modules(&file.code()))
            .collect();
        let unused = allowed.iter().filter(|name| !used.contains(**name));
        found.extend(unused.map(|name| format!("`{module}` does not name `{name}`")));
    }
    nothing(found, "Take the edge out of MAY_NAME in tests/it/layering.rs.");
}

/// Whether a file names the module for development, by whatever path.
fn names_dev(file: &File) -> bool {
    let by_path = Regex::new(&format!(r"\b(?:opgate|self|super)::{DEV}\b")).unwrap();
    let code = file.code();
    named_modules(&code).contains(DEV) || by_path.is_match(&code)
}

/// So the linker leaves it out of the product: see `the_product_holds_nothing_of_dev` (dev.rs).
#[test]
fn no_module_of_the_product_names_what_serves_development() {
    let naming: Vec<String> = product()
        .filter(|file| file.module() != DEV && file.name != DEV_PROGRAM)
        .filter(names_dev)
        .map(|file| file.name)
        .collect();
    nothing(naming, "Move what the product needs out of `dev`.");
    let planted = |text: &str| names_dev(&File { name: "src/cli/run.rs".to_owned(), text: text.to_owned() });
    for text in [
        "use crate::dev::wire;",
        "use crate::{clock, dev::{issuer::Issuer, wire}};",
        "use super::dev;",
        "fn main() { opgate::dev::cli::main() }",
    ] {
        assert!(planted(text), "{text}");
    }
    assert!(!planted("// use crate::dev::wire;\nuse crate::device::dev;"));
}

#[test]
fn decision_modules_are_pure() {
    let mut found = Vec::new();
    let is_pure = |file: &File| PURE.contains(&file.module()) && file.name != READS_THE_DISK;
    for file in product().filter(is_pure) {
        let code = file.code();
        for name in IMPURE.iter().filter(|name| code.contains(**name)) {
            found.push(format!("{} names {name}", file.name));
        }
    }
    nothing(
        found,
        "Decisions do no I/O and read no clock: take the value as an argument (src/decision/stages.rs).",
    );
}

/// A caller that a question merely names is not authenticated. So the function that makes a caller without a proof is
/// named only by questions, and where it is defined.
#[test]
fn only_questions_assume_a_caller() {
    let assuming =
        Regex::new(r"\bCaller::assumed\b|\.assume\(|\bassume_confirmed\b|\bdecide_as\b|\bdecide_call_as\b|\bdecide_message_as\b")
            .unwrap();
    let files: BTreeSet<String> = product()
        .filter(|file| !file.name.starts_with("src/cli/") && assuming.is_match(&file.code()))
        .map(|file| file.name)
        .collect();
    let expected = [
        "src/authn.rs",
        "src/authn/token/unconfirmed.rs",
        "src/decision.rs",
        "src/decision/assumed.rs",
        "src/decision/stages.rs",
        "src/simulation.rs",
        "src/simulation/replay.rs",
    ];
    assert_eq!(files.into_iter().collect::<Vec<_>>(), expected);
}
