//! ARCHITECTURE.md against the source, and what comments say of documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use crate::harness::root;
use crate::layering::MAY_NAME;
use crate::readme::pages::{Page, pages};

const HEADING: &str = "| module | what it is | may name |";

/// Any module may name these; the page says so once.
const OF_ALL: [&str; 2] = ["diagnostic", "document"];

/// What `lib.rs` is made of: the files and folders right below src/.
fn modules() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| !["lib", "main", "bin", "snapshots"].contains(&name.as_str())).collect()
}

/// The words between backticks.
fn names(cell: &str) -> BTreeSet<String> {
    Regex::new("`([a-z0-9_]+)`").unwrap().captures_iter(cell).map(|found| found[1].to_owned()).collect()
}

/// The table of the page: each module with those that it may name; `None` for any.
fn table(page: &Page) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let rows = page.table(HEADING);
    let table: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            // An empty last cell goes with the bar behind it.
            let named = row.get(2).map_or("", String::as_str);
            let module = row[0].trim_matches('`').to_owned();
            (module, (named != "any").then(|| names(named)))
        })
        .collect();
    assert_eq!(table.len(), rows.len(), "a module has two rows");
    table
}

#[test]
fn the_modules_are_those_of_the_source() {
    let told: BTreeSet<String> = table(&Page::read("ARCHITECTURE.md")).into_keys().collect();
    let there = modules();
    let missing: Vec<&String> = there.difference(&told).collect();
    let gone: Vec<&String> = told.difference(&there).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not in ARCHITECTURE.md: {missing:?}; not in src/: {gone:?}"
    );
}

#[test]
fn each_module_may_name_what_the_page_says() {
    let told = table(&Page::read("ARCHITECTURE.md"));
    let mut found = Vec::new();
    for (module, allowed) in MAY_NAME {
        let allowed = allowed.iter().filter(|name| !OF_ALL.contains(name)).map(|name| (*name).to_owned());
        let allowed: BTreeSet<String> = allowed.collect();
        if let Some(Some(told)) = told.get(*module)
            && *told != allowed
        {
            let missing: Vec<&String> = allowed.difference(told).collect();
            let gone: Vec<&String> = told.difference(&allowed).collect();
            found.push(format!("{module}: the page lacks {missing:?}, and has {gone:?} too many"));
        }
    }
    assert!(found.is_empty(), "\n  {}\n", found.join("\n  "));
}

/// The page is read as it is meant, whatever the source looks like by now.
#[test]
fn the_table_of_the_page_has_no_circle() {
    let told = table(&Page::read("ARCHITECTURE.md"));
    assert!(told.len() > 20, "{}", told.len());
    let order: Vec<String> =
        Page::read("ARCHITECTURE.md").table(HEADING).iter().map(|row| row[0].clone()).collect();
    let place = |module: &str| order.iter().position(|name| name.trim_matches('`') == module);
    let mut found = Vec::new();
    for (module, named) in &told {
        for name in named.iter().flatten() {
            // From the top down: a module stands above all that it names.
            if place(name).is_none_or(|below| Some(below) <= place(module)) {
                found.push(format!("`{module}` may name `{name}`, which does not stand below it"));
            }
        }
    }
    assert!(found.is_empty(), "\n  {}\n", found.join("\n  "));
}

/// Documents that a text names and that a reader of the repository cannot find: a page, or a heading of one.
fn unknown_documents(text: &str, pages: &[Page]) -> Vec<String> {
    let page = Regex::new(r#"([A-Za-z0-9_/-]+\.md)\b(?:, "([^"\n]+)")?"#).unwrap();
    let foreign = Regex::new(r"\bDESIGN\b|§").unwrap();
    let named = page.captures_iter(text).filter(|found| {
        let Some(page) = pages.iter().find(|page| page.name == found[1]) else {
            return !root().join(&found[1]).exists();
        };
        let heading = found.get(2).map(|heading| format!(" {}", heading.as_str()));
        heading.is_some_and(|heading| {
            !page.text.lines().any(|line| line.starts_with('#') && line.ends_with(&heading))
        })
    });
    let named = named.map(|found| found[0].to_owned());
    named.chain(foreign.find_iter(text).map(|found| found.as_str().to_owned())).collect()
}

/// The comments of a file, line by line: `//` and, in files that have such comments, `#`.
fn comments(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mark = if path.extension().is_some_and(|extension| extension == "rs") { "//" } else { "#" };
    let comments =
        text.lines().filter_map(|line| Some(line.split_once(mark)?.1.trim_start_matches(['/', '!', '#'])));
    comments.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_comment_names_a_document_that_is_not_here() {
    let pages = pages();
    let mut paths: Vec<_> =
        ["Makefile", "Cargo.toml", "clippy.toml", "deny.toml"].map(|name| root().join(name)).into();
    let mut folders: Vec<_> =
        ["src", "tests", "benches", "fuzz", "config", "policies", ".ci"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_text =
                ["rs", "yaml", "toml"].iter().any(|extension| name.ends_with(&format!(".{extension}")));
            if path.is_dir() && !["target", "node_modules", "corpus"].contains(&name) {
                folders.push(path);
            } else if is_text || path.starts_with(root().join(".ci")) {
                paths.push(path);
            }
        }
    }
    assert!(paths.len() > 300, "{}", paths.len());
    let mut found = Vec::new();
    // This file holds what it looks for.
    for path in paths.iter().filter(|path| !path.ends_with("tests/it/architecture.rs")) {
        let unknown = unknown_documents(&comments(path), &pages);
        found.extend(unknown.iter().map(|what| format!("{}: {what}", path.display())));
    }
    assert!(found.is_empty(), "\n  {}\n", found.join("\n  "));
}

#[test]
fn documents_that_are_not_here_are_found() {
    let pages = pages();
    let text = r#"docs/errors.md, "Order"; docs/errors.md; docs/nothing.md; docs/errors.md, "Orders"; DESIGN, section 5; § 2"#;
    let expected = ["docs/nothing.md", r#"docs/errors.md, "Orders""#, "DESIGN", "§"];
    assert_eq!(unknown_documents(text, &pages), expected);
}
