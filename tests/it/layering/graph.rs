//! Which file of the source names which: every `use` and every path is resolved to the file that defines what it names.
//!
//! A name that a parent only passes on (`pub use`) counts for the file that it comes from. A parent's `mod` lines do not
//! count.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::{File, nothing, product};

/// The circles of files that are left. This list only shrinks.
const LEFT: &[&[&str]] = &[
    &["explain", "explain::json", "explain::text"],
    &["http::channel", "http::request"],
    &["http::path", "http::path::reading"],
];

/// The path of a module below the crate: `["http", "path"]`; empty for the crate itself.
type ModulePath = Vec<String>;

/// The files, and which of them each names.
pub struct Graph {
    pub names: BTreeMap<ModulePath, BTreeSet<ModulePath>>,
}

/// What is known of the files before paths are resolved.
struct Index {
    modules: BTreeSet<ModulePath>,
    /// What each module passes on: the name, and the path that it stands for.
    passed_on: BTreeMap<ModulePath, BTreeMap<String, ModulePath>>,
}

fn module_path(file: &File) -> ModulePath {
    let path = file.name.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

impl Graph {
    /// The graph of the product's files.
    pub fn of(files: &[File]) -> Self {
        let codes: BTreeMap<ModulePath, String> =
            files.iter().map(|file| (module_path(file), file.code())).collect();
        let mut index = Index { modules: codes.keys().cloned().collect(), passed_on: BTreeMap::new() };
        for (module, code) in &codes {
            let mut names = BTreeMap::new();
            for (_, leaf) in uses(code) {
                if let Some(path) = index.absolute(&leaf.path, module)
                    && !matches!(leaf.path.last().map(String::as_str), Some("*" | "self"))
                {
                    names.insert(leaf.name, path);
                }
            }
            index.passed_on.insert(module.clone(), names);
        }
        let names = codes
            .iter()
            .map(|(module, code)| {
                let mut named = index.named_by(module, code);
                named.remove(module);
                (module.clone(), named)
            })
            .collect();
        Self { names }
    }

    /// The circles: groups of files of which each reaches each other one, as sorted names of modules.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> =
            self.names.keys().map(|module| (module, self.reach(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, reach) in &reached {
            let together: Vec<String> = reach
                .iter()
                .filter(|other| reached.get(**other).is_some_and(|back| back.contains(module)))
                .map(|other| other.join("::"))
                .collect();
            if together.len() > 1 {
                circles.insert(together);
            }
        }
        circles.into_iter().collect()
    }

    fn reach<'g>(&'g self, from: &'g ModulePath) -> BTreeSet<&'g ModulePath> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            for named in self.names.get(module).into_iter().flatten() {
                if reached.insert(named) {
                    next.push(named);
                }
            }
        }
        reached
    }
}

impl Index {
    fn children<'i>(&'i self, module: &'i [String]) -> impl Iterator<Item = &'i str> {
        let below = self.modules.iter().filter(|other| other.len() == module.len() + 1);
        below.filter(|other| other.starts_with(module)).filter_map(|other| other.last()).map(String::as_str)
    }

    /// The path below the crate, where it is one of ours.
    fn absolute(&self, path: &[String], module: &[String]) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|piece| *piece == "super").count();
                let base = module.get(..module.len().checked_sub(ups)?)?;
                Some([base, &path[ups..]].concat())
            }
            child if self.children(module).any(|name| name == child) => Some([module, path].concat()),
            _ => None,
        }
    }

    /// The file that defines what stands at a path.
    fn definition(&self, path: &[String], depth: usize) -> ModulePath {
        let length =
            (0..=path.len()).rev().find(|length| self.modules.contains(&path[..*length])).unwrap_or(0);
        let (module, rest) = path.split_at(length);
        let passed_on = rest.first().and_then(|name| self.passed_on.get(module)?.get(name));
        match passed_on {
            Some(target) if depth < 8 => self.definition(&[target, &rest[1..]].concat(), depth + 1),
            _ => module.to_vec(),
        }
    }

    fn named_by(&self, module: &ModulePath, code: &str) -> BTreeSet<ModulePath> {
        let mut named = BTreeSet::new();
        for (is_public, leaf) in uses(code) {
            let path = match leaf.path.last().map(String::as_str) {
                Some("self" | "*") => &leaf.path[..leaf.path.len() - 1],
                _ => &leaf.path[..],
            };
            if !is_public && let Some(path) = self.absolute(path, module) {
                named.insert(self.definition(&path, 0));
            }
        }
        let without =
            Regex::new(r"(?m)^[ \t]*(?:pub(?:\([^)]*\))? )?use [^;]+;").unwrap().replace_all(code, "");
        // A visibility says who may name an item. It names nothing itself.
        let without = Regex::new(r"\bpub\(in [\w:]+\)").unwrap().replace_all(&without, "pub");
        let children: Vec<&str> = self.children(module).collect();
        let roots = ["crate", "self", "super"].into_iter().chain(children).collect::<Vec<_>>().join("|");
        let inline = Regex::new(&format!(r"(^|[^\w:.])((?:{roots})(?:::[A-Za-z_]\w*)+)")).unwrap();
        for found in inline.captures_iter(&without) {
            let path: Vec<String> = found[2].split("::").map(str::to_owned).collect();
            if let Some(path) = self.absolute(&path, module) {
                named.insert(self.definition(&path, 0));
            }
        }
        named
    }
}

/// One path of a `use`, and the name that it has in the file.
struct Leaf {
    path: Vec<String>,
    name: String,
}

/// Every path of every `use`, and whether it is passed on.
fn uses(code: &str) -> Vec<(bool, Leaf)> {
    let declaration = Regex::new(r"(?m)^[ \t]*(pub(?:\([^)]*\))? )?use ([^;]+);").unwrap();
    let mut leaves = Vec::new();
    for found in declaration.captures_iter(code) {
        let mut of_this = Vec::new();
        flatten(found[2].trim(), &[], &mut of_this);
        leaves.extend(of_this.into_iter().map(|leaf| (found.get(1).is_some(), leaf)));
    }
    leaves
}

/// Takes apart `a::{b, c as d}`.
fn flatten(tree: &str, before: &[String], leaves: &mut Vec<Leaf>) {
    if let Some((prefix, group)) = tree.split_once('{') {
        let pieces = prefix.split("::").map(str::trim).filter(|piece| !piece.is_empty()).map(str::to_owned);
        let before: Vec<String> = before.iter().cloned().chain(pieces).collect();
        let group = group.strip_suffix('}').unwrap_or(group);
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    let member = group[start..at].trim();
                    if !member.is_empty() {
                        flatten(member, &before, leaves);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
    let path: Vec<String> =
        before.iter().cloned().chain(path.split("::").map(|piece| piece.trim().to_owned())).collect();
    if let Some(last) = path.last().filter(|_| path.first().is_some_and(|first| !first.is_empty())) {
        let name = alias.map_or_else(|| last.clone(), |alias| alias.trim().to_owned());
        leaves.push(Leaf { path, name });
    }
}

#[test]
fn files_form_no_circle() {
    let files: Vec<File> = product().collect();
    let circles = Graph::of(&files).circles();
    let new = circles.iter().filter(|circle| !LEFT.iter().any(|left| *circle == left));
    let open = LEFT.iter().filter(|left| !circles.iter().any(|circle| circle == *left));
    let found = new
        .map(|circle| format!("these files name each other: {}", circle.join(", ")))
        .chain(open.map(|left| format!("no circle any more, take it out of LEFT: {}", left.join(", "))));
    nothing(
        found.collect(),
        "Move the definition that both need to a file of its own, below both, and pass it on with `pub use`.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> File {
        File { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_circle_is_found_through_a_name_that_is_passed_on() {
        let mut files = vec![
            file("src/lib.rs", "pub mod a;\npub mod b;\n"),
            file("src/a.rs", "mod inner;\npub use self::inner::Thing;\n"),
            file("src/a/inner.rs", "use crate::b::{self, Other};\npub struct Thing;\n"),
            file("src/b.rs", "pub struct Other;\n"),
        ];
        assert!(Graph::of(&files).circles().is_empty());
        files[3].text.push_str("fn f(_: crate::a::Thing) {}\n");
        assert_eq!(Graph::of(&files).circles(), [["a::inner", "b"]]);
    }

    #[test]
    fn a_visibility_names_no_file() {
        let files = [
            file("src/lib.rs", "pub mod a;\n"),
            file("src/a.rs", "mod inner;\nfn f(_: inner::Thing) {}\n"),
            file("src/a/inner.rs", "pub(in crate::a) struct Thing;\n"),
        ];
        assert!(Graph::of(&files).circles().is_empty());
    }
}
