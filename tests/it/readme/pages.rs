//! The pages of the documentation, taken apart: code blocks, commands, tables, links, headings.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use crate::harness::root;

/// Pages at the project's root that are documentation. The changelog is history: what it names may be gone.
const AT_THE_ROOT: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];

/// A page.
pub struct Page {
    /// From the project's root: `docs/policy.md`.
    pub name: String,
    pub text: String,
}

/// A fenced block: what it is, and the lines in it.
#[derive(Debug)]
pub struct Block {
    pub kind: Kind,
    pub text: String,
}

/// What a block is, as the words after its fence say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `sh`: commands that succeed.
    Commands,
    /// `sh denied`: commands that say that a call is denied.
    Denied,
    /// `sh upgrade`: the two commands of an upgrade.
    Upgrade,
    /// `sh successor`: the command that has the running process start the next one.
    Successor,
    /// `sh quickstart`: a call that is denied, and the command that explains it. tests/it/decisions.rs runs them.
    Quickstart,
    /// `sh export`: commands that need `gcloud`. tests/it/cli/exports.rs runs them with one of its own.
    Export,
    /// `yaml file=PATH`, and the same for `python` and `js`: a whole file.
    File(String),
    /// `yaml add=PATH`: lines at the end of a shipped file.
    Addition(String),
    /// `yaml config`: sections of the configuration, instead of those of config/opgate.yaml.
    Configuration,
    /// `sh admin`: commands for the admin address. tests/it/mixin/live.rs runs them.
    Admin,
    /// `promql`: queries, one a line. tests/it/mixin/live.rs asks them.
    Query,
    /// `yaml prometheus`: a configuration of Prometheus, beside the files of config/mixin.
    Prometheus,
    /// `yaml grafana`: dashboards that Grafana provisions.
    Grafana,
    /// `text haproxy`: sections of HAProxy's file. tests/it/listeners/balanced.rs has it check them.
    Haproxy,
    /// `sh package …`, `sh image`, `sh helm`, `yaml values`: what is installed. packaging/tests runs them.
    Packaging,
    /// `text demo`: lines that the demo prints.
    Demo,
    /// `text picture`: a picture. Nothing runs it.
    Picture,
    /// `sh steps`: commands of docs/quickstart.md, in one shell. tests/it/stranger.rs runs them.
    Steps,
    /// `text shown`: lines that the steps above print.
    Shown,
    /// `sh cookbook`: commands over the whole tree of a page, with its section of the configuration.
    Cookbook,
    /// `yaml peer=envoy`, `text peer=nginx`: a file of a proxy that asks opgate, or of opgate that is asked.
    /// tests/it/authorizers runs it.
    Peer(String),
    /// `yaml other`, `toml other`: a file of another gateway. tests/it/coming_from.rs runs Envoy's.
    Other,
    /// `proto transcoding=NAME`, `yaml transcoding=NAME`: the files of docs/transcoding.md. tests/it/transcoding/page.rs serves them.
    Transcoding(String),
}

impl Kind {
    /// `None` where the tests do not know what to do with the block.
    fn parse(info: &str) -> Option<Self> {
        Some(match info {
            "sh" => Self::Commands,
            "sh denied" => Self::Denied,
            "sh upgrade" => Self::Upgrade,
            "sh successor" => Self::Successor,
            "sh quickstart" => Self::Quickstart,
            "sh export" => Self::Export,
            "sh admin" => Self::Admin,
            "promql" => Self::Query,
            "yaml prometheus" => Self::Prometheus,
            "yaml grafana" => Self::Grafana,
            "yaml config" => Self::Configuration,
            "text haproxy" => Self::Haproxy,
            "sh package install" | "sh package start" | "sh package operate" | "sh package upgrade"
            | "sh package remove" | "sh image" | "sh helm" | "yaml values" => Self::Packaging,
            "text demo" => Self::Demo,
            "text picture" => Self::Picture,
            "sh steps" => Self::Steps,
            "text shown" => Self::Shown,
            "sh cookbook" => Self::Cookbook,
            "yaml other" | "toml other" => Self::Other,
            _ => match info.split_once(' ')? {
                ("proto" | "yaml", rest) if let Some(name) = rest.strip_prefix("transcoding=") => {
                    Self::Transcoding(name.to_owned())
                }
                ("yaml" | "python" | "js" | "json" | "text", rest) => match rest.split_once('=')? {
                    ("file", path) => Self::File(path.to_owned()),
                    ("add", path) => Self::Addition(path.to_owned()),
                    ("peer", name) => Self::Peer(name.to_owned()),
                    _ => return None,
                },
                _ => return None,
            },
        })
    }
}

/// A command that the tests know how to check.
#[derive(Debug, PartialEq, Eq)]
pub enum Known<'l> {
    /// `make TARGET …`.
    Make(&'l str),
    /// `cargo test --test it MODULE …`: the module of tests/it.
    IntegrationTest(&'l str),
    /// `cargo test --lib MODULE::…`: the module of src.
    UnitTest(&'l str),
    /// `opgate …` or `opgate-dev …`, maybe behind variables: it is run.
    Program,
}

impl<'l> Known<'l> {
    /// `None` where no test would notice that the command is wrong.
    pub fn parse(line: &'l str) -> Option<Self> {
        let is_variable = |word: &&str| word.split_once('=').is_some_and(|(name, _)| is_upper(name));
        let words: Vec<&str> = line.split(' ').skip_while(is_variable).collect();
        match words.as_slice() {
            ["make", target, variables @ ..] if variables.iter().all(is_variable) => Some(Self::Make(target)),
            ["cargo", "test", "--test", "it", module, ..] => Some(Self::IntegrationTest(module)),
            ["cargo", "test", "--lib", module, ..] => Some(Self::UnitTest(module.split("::").next()?)),
            ["opgate" | "opgate-dev", ..] if !line.contains([';', '|', '`', '>']) => Some(Self::Program),
            _ => None,
        }
    }
}

fn is_upper(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
}

impl Page {
    pub fn read(name: &str) -> Self {
        let text =
            std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text }
    }

    /// Its blocks. A fence that does not end, and a block of an unknown kind, fail.
    pub fn blocks(&self) -> Vec<Block> {
        let fence = Regex::new(r"(?ms)^```([^\n]*)\n(.*?)^```$").unwrap();
        let blocks: Vec<Block> = fence
            .captures_iter(&self.text)
            .map(|found| {
                let kind = Kind::parse(&found[1])
                    .unwrap_or_else(|| panic!("{}: no test knows a block `{}`", self.name, &found[1]));
                Block { kind, text: found[2].to_owned() }
            })
            .collect();
        let fences = self.text.lines().filter(|line| line.trim_start().starts_with("```")).count();
        assert_eq!(fences, 2 * blocks.len(), "{}: a fence is indented, or does not end", self.name);
        blocks
    }

    /// The one block of a kind.
    pub fn block(&self, kind: &Kind) -> Block {
        let mut blocks = self.blocks().into_iter().filter(|block| block.kind == *kind);
        let block = blocks.next().unwrap_or_else(|| panic!("{} has no {kind:?}", self.name));
        assert!(blocks.next().is_none(), "{} has a second {kind:?}", self.name);
        block
    }

    /// The text without its blocks.
    pub fn prose(&self) -> String {
        Regex::new(r"(?ms)^```[^\n]*\n.*?^```$").unwrap().replace_all(&self.text, "").into_owned()
    }

    /// What stands between backticks in the prose.
    pub fn code_spans(&self) -> Vec<String> {
        let span = Regex::new("`([^`\n]+)`").unwrap();
        span.captures_iter(&self.prose()).map(|found| found[1].to_owned()).collect()
    }

    /// The cells of the rows of the table that begins with this heading row.
    pub fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let (_, rest) =
            self.text.split_once(heading).unwrap_or_else(|| panic!("{} has no table `{heading}`", self.name));
        rest.lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
            .collect()
    }

    /// Its links into the project: the path from the project's root, and the heading.
    pub fn links(&self) -> Vec<(String, Option<String>)> {
        let link = Regex::new(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)").unwrap();
        let folder = Path::new(&self.name).parent().unwrap();
        let prose = self.prose();
        let links = link.captures_iter(&prose).map(|found| {
            let target = match &found[1] {
                "" => self.name.clone(),
                path => plain(&folder.join(path)),
            };
            (target, found.get(2).map(|heading| heading.as_str().to_owned()))
        });
        links.collect()
    }

    /// What a link to one of its headings says, as GitHub makes it.
    pub fn anchors(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let headings =
            prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
        headings
            .map(|heading| {
                let kept = heading.trim().to_lowercase();
                let kept = kept.chars().filter(|one| one.is_alphanumeric() || [' ', '-', '_'].contains(one));
                kept.map(|one| if one == ' ' { '-' } else { one }).collect()
            })
            .collect()
    }
}

/// The path without `..`.
fn plain(path: &Path) -> String {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(plain.pop(), "{} leads out of the project", path.display()),
            component => plain.push(component),
        }
    }
    plain.to_str().unwrap().to_owned()
}

/// The files below docs/, from the project's root.
pub fn documents() -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.sort();
    names
}

/// Every page.
pub fn pages() -> Vec<Page> {
    let at_the_root = AT_THE_ROOT.iter().map(|name| (*name).to_owned());
    let names = at_the_root.chain(documents().into_iter().filter(|name| name.ends_with(".md")));
    let pages: Vec<Page> = names.map(|name| Page::read(&name)).collect();
    assert!(pages.len() >= 12, "{}", pages.len());
    pages
}

/// The files below docs/ that no chain of links from the README reaches.
pub fn unreached(pages: &[Page], documents: &[String]) -> Vec<String> {
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    let mut next = vec!["README.md".to_owned()];
    while let Some(name) = next.pop() {
        let Some(page) = pages.iter().find(|page| page.name == name) else { continue };
        for (target, _) in page.links() {
            if reached.insert(target.clone()) {
                next.push(target);
            }
        }
    }
    documents.iter().filter(|name| !reached.contains(*name)).cloned().collect()
}

/// Links to what is not there: a file, or a heading of a page.
pub fn broken_links(page: &Page, pages: &[Page]) -> Vec<String> {
    let is_broken = |(target, heading): &(String, Option<String>)| {
        let Some(heading) = heading else { return !root().join(target).exists() };
        let page = pages.iter().find(|page| page.name == *target);
        page.is_none_or(|page| !page.anchors().contains(heading))
    };
    page.links()
        .into_iter()
        .filter(is_broken)
        .map(|link| format!("{} links to {link:?}", page.name))
        .collect()
}
