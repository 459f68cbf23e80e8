//! The trie over path segments, and the search in it.
//!
//! Literals are kept normalized, so that one search finds what a template matches in the reading of a backend that decodes
//! and folds letters; `Template::is_spelled_as` then tells which of it the path matches as it was sent.
//!
//! The search keeps its own stack and visits a node at most once, whatever the path: a node is at one depth only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::route::Route;
use crate::catalog::template::TemplateSegment;
use crate::http::Path;
use crate::http::path::{PathReading, normalize_literal};

/// The routes of one host and verb, by path segment.
#[derive(Debug)]
pub(super) struct Trie {
    /// The first is the root.
    nodes: Vec<TrieNode>,
}

#[derive(Debug, Default)]
struct TrieNode {
    literals: BTreeMap<Box<str>, usize>,
    single: Option<usize>,
    ends: Routes,
    /// The templates that go on with `**`, by the literals after it; the longest tail first.
    rests: Vec<(Vec<Box<str>>, Routes)>,
}

/// The routes of one normalized shape.
type Routes = Vec<Arc<Route>>;

/// A step of the search that is still to be taken.
enum TrieStep {
    /// Look at a node, with so many segments of the path behind it.
    Enter(usize, usize),
    /// Try the node's `**`.
    Rest(usize, usize),
}

impl Trie {
    #[expect(
        clippy::indexing_slicing,
        reason = "`at` is a node that was found or pushed here; nodes only grow"
    )]
    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        let mut at = 0;
        let mut segments = route.template.segments().iter();
        for segment in segments.by_ref() {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match segment {
                TemplateSegment::Literal(text) => {
                    *node.literals.entry(normalize_literal(text)).or_insert(next)
                }
                TemplateSegment::Single => *node.single.get_or_insert(next),
                TemplateSegment::Rest => {
                    let tail = segments.filter_map(TemplateSegment::literal).map(normalize_literal).collect();
                    node.insert_rest(tail, route);
                    return;
                }
            };
            if at == next {
                self.nodes.push(TrieNode::default());
            }
        }
        self.nodes[at].ends.push(route.clone());
    }

    /// The route of the call that a request makes, or `None`. What stood in its way is added to `closed`.
    pub(super) fn route<'t>(
        &'t self,
        http_method: &::http::Method,
        path: &Path,
        reading: &PathReading<'_>,
        closed: &mut Vec<&'t Arc<Route>>,
    ) -> Option<&'t Arc<Route>> {
        self.search(reading, |routes| {
            for route in matching(routes, http_method).filter(|route| route.template.is_spelled_as(path)) {
                if !route.is_open() {
                    closed.push(route);
                } else if !closed.iter().any(|shadow| shadow.hides(route)) {
                    return Some(route);
                }
            }
            None
        })
    }

    /// As [`Trie::route`]; a HEAD that has no route of its own takes that of GET. What is closed for HEAD stands in the way of
    /// that, too.
    pub(super) fn route_or_get<'t>(
        &'t self,
        http_method: &::http::Method,
        path: &Path,
        reading: &PathReading<'_>,
        closed: &mut Vec<&'t Arc<Route>>,
    ) -> Option<&'t Arc<Route>> {
        match self.route(http_method, path, reading, closed) {
            None if *http_method == ::http::Method::HEAD => {
                self.route(&::http::Method::GET, path, reading, closed)
            }
            found => found,
        }
    }

    /// The route that the backend of `upstream` takes, where this is how it reads the path. For a HEAD, many servers run
    /// what they have for GET (RFC 9110, section 9.3.2).
    pub(super) fn taken(
        &self,
        http_method: &::http::Method,
        reading: &PathReading<'_>,
        upstream: &str,
    ) -> Option<&Arc<Route>> {
        self.search(reading, |routes| {
            let with = |wanted: Option<&::http::Method>| {
                let is_it = |route: &&Arc<Route>| route.http_method.as_ref() == wanted;
                routes.iter().filter(|route| route.service.upstream == upstream).find(is_it)
            };
            let as_get = || with(Some(&::http::Method::GET)).filter(|_| *http_method == ::http::Method::HEAD);
            with(Some(http_method)).or_else(as_get).or_else(|| with(None))
        })
    }

    /// Offers every shape that matches the reading to `choose`, the most specific first, until it takes one.
    fn search<'t, T>(
        &'t self,
        reading: &PathReading<'_>,
        mut choose: impl FnMut(&'t Routes) -> Option<T>,
    ) -> Option<T> {
        let mut steps = Vec::with_capacity(8);
        steps.push(TrieStep::Enter(0, 0));
        while let Some(step) = steps.pop() {
            let found = match step {
                TrieStep::Rest(at, depth) => {
                    let rests = self.nodes.get(at).map(|node| node.rests.as_slice()).unwrap_or_default();
                    rests
                        .iter()
                        .filter(|(tail, _)| ends_with(reading, depth, tail))
                        .find_map(|(_, routes)| choose(routes))
                }
                TrieStep::Enter(at, depth) => {
                    let Some(node) = self.nodes.get(at) else { continue };
                    // Last in, first out: the most specific step goes on top.
                    if !node.rests.is_empty() {
                        steps.push(TrieStep::Rest(at, depth));
                    }
                    match reading.segment(depth) {
                        None => choose(&node.ends).or_else(|| choose(self.behind_slash(node, reading)?)),
                        Some(segment) => {
                            let is_slash = depth + 1 == reading.len() && reading.ends_in_slash();
                            let single = node.single.filter(|_| !is_slash);
                            steps.extend(single.map(|next| TrieStep::Enter(next, depth + 1)));
                            steps.extend(
                                node.literals.get(segment).map(|next| TrieStep::Enter(*next, depth + 1)),
                            );
                            None
                        }
                    }
                }
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The routes that end in a slash here, for a reader that ignores it.
    fn behind_slash(&self, node: &TrieNode, reading: &PathReading<'_>) -> Option<&Routes> {
        let slash = node.literals.get("").filter(|_| reading.ignores_slash())?;
        Some(&self.nodes.get(*slash)?.ends)
    }

    /// Every route that takes a path in this reading, with whatever HTTP method it does.
    pub(super) fn at(&self, reading: &PathReading<'_>) -> Vec<&Arc<Route>> {
        let mut found = Vec::new();
        self.search(reading, |routes| {
            found.extend(routes);
            None::<()>
        });
        found
    }

    /// The HTTP methods that some route of a path names, sorted.
    pub(super) fn http_methods(&self, path: &Path, reading: &PathReading<'_>) -> BTreeSet<&str> {
        let mut known = BTreeSet::new();
        self.search(reading, |routes| {
            let spelled = routes.iter().filter(|route| route.template.is_spelled_as(path));
            known.extend(spelled.filter_map(|route| route.http_method.as_ref()).map(::http::Method::as_str));
            None::<()>
        });
        known
    }
}

/// The routes of one shape that a request with this HTTP method matches: those that name it come before any.
fn matching<'t>(routes: &'t Routes, http_method: &::http::Method) -> impl Iterator<Item = &'t Arc<Route>> {
    let named = routes.iter().filter(|route| route.http_method.as_ref() == Some(http_method));
    named.chain(routes.iter().filter(|route| route.http_method.is_none()))
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![TrieNode::default()] }
    }
}

impl TrieNode {
    fn insert_rest(&mut self, tail: Vec<Box<str>>, route: &Arc<Route>) {
        match self.rests.iter_mut().find(|(other, _)| *other == tail) {
            Some((_, routes)) => routes.push(route.clone()),
            None => {
                self.rests.push((tail, vec![route.clone()]));
                self.rests.sort_by_key(|(tail, _)| std::cmp::Reverse(tail.len()));
            }
        }
    }
}

/// Whether the path ends with these literals, none of them before segment `depth`.
fn ends_with(reading: &PathReading<'_>, depth: usize, tail: &[Box<str>]) -> bool {
    let tail = match tail {
        [named @ .., slash] if slash.is_empty() && reading.ignores_slash() => named,
        _ => tail,
    };
    // A `**` stands for names, and not for a slash at the end.
    if reading.ends_in_slash() && tail.last().is_none_or(|last| !last.is_empty()) {
        return false;
    }
    let Some(start) = reading.len().checked_sub(tail.len()).filter(|start| *start >= depth) else {
        return false;
    };
    tail.iter().enumerate().all(|(index, literal)| reading.segment(start + index) == Some(literal))
}
