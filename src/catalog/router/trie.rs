//! The trie over path segments, and the search in it.
//!
//! The search keeps its own stack and visits a node at most once, whatever the path: a node is at one depth only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Route, Target};
use crate::catalog::method::Call;
use crate::catalog::template::Segment;
use crate::http::Path;

/// The routes of one host and verb, by path segment.
#[derive(Debug)]
pub(super) struct Trie {
    /// The first is the root.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<Box<str>, usize>,
    single: Option<usize>,
    ends: Routes,
    /// The templates that go on with `**`, by the literals after it; the longest tail first.
    rests: Vec<(Vec<Box<str>>, Routes)>,
}

/// The routes of one shape. At most one per HTTP method is open, and none of its own service's is closed.
type Routes = Vec<Arc<Route>>;

/// A step of the search that is still to be taken.
enum Step {
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
                Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(next),
                Segment::Single => *node.single.get_or_insert(next),
                Segment::Rest => {
                    let tail = segments.filter_map(Segment::literal).map(Box::from).collect();
                    node.insert_rest(tail, route);
                    return;
                }
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].ends.push(route.clone());
    }

    /// The call that a request makes, or `None`. What stood in its way is added to `closed`.
    pub(super) fn call<'t>(
        &'t self,
        http_method: &::http::Method,
        path: &Path,
        closed: &mut Vec<&'t Route>,
    ) -> Option<Call> {
        self.search(path, |routes| {
            // At one shape, the named method comes before any.
            let named = routes.iter().filter(|route| route.http_method.as_ref() == Some(http_method));
            let any = routes.iter().filter(|route| route.http_method.is_none());
            for route in named.chain(any) {
                match &route.target {
                    Target::Closed { .. } => closed.push(route),
                    Target::Open { method, body, body_field } => {
                        if closed.iter().any(|shadow| Arc::ptr_eq(&shadow.service, &route.service)) {
                            continue;
                        }
                        return Some(Call {
                            method: method.clone(),
                            bindings: route.template.capture(path),
                            body: body.on(http_method),
                            body_field: body_field.clone(),
                        });
                    }
                }
            }
            None
        })
    }

    /// Offers every shape that matches the path to `choose`, the most specific first, until it takes one.
    fn search<'t, T>(&'t self, path: &Path, mut choose: impl FnMut(&'t Routes) -> Option<T>) -> Option<T> {
        let mut steps = Vec::with_capacity(8);
        steps.push(Step::Enter(0, 0));
        while let Some(step) = steps.pop() {
            let found = match step {
                Step::Rest(at, depth) => {
                    let rests = self.nodes.get(at).map(|node| node.rests.as_slice()).unwrap_or_default();
                    rests
                        .iter()
                        .filter(|(tail, _)| ends_with(path, depth, tail))
                        .find_map(|(_, routes)| choose(routes))
                }
                Step::Enter(at, depth) => {
                    let Some(node) = self.nodes.get(at) else { continue };
                    // Last in, first out: the most specific step goes on top.
                    if !node.rests.is_empty() {
                        steps.push(Step::Rest(at, depth));
                    }
                    match path.raw_segment(depth) {
                        None => choose(&node.ends),
                        Some(segment) => {
                            steps.extend(node.single.map(|next| Step::Enter(next, depth + 1)));
                            steps
                                .extend(node.literals.get(segment).map(|next| Step::Enter(*next, depth + 1)));
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

    /// Every route that takes the path, with whatever HTTP method it does.
    pub(super) fn at(&self, path: &Path) -> Vec<&Arc<Route>> {
        let mut found = Vec::new();
        self.search(path, |routes| {
            found.extend(routes);
            None::<()>
        });
        found
    }

    /// The HTTP methods with which a path can be called, sorted.
    pub(super) fn http_methods(&self, path: &Path) -> BTreeSet<&str> {
        let mut known = Vec::new();
        self.search(path, |routes| {
            known.extend(routes.iter().filter_map(|route| route.http_method.as_ref()));
            None::<()>
        });
        known
            .into_iter()
            .filter(|http_method| self.call(http_method, path, &mut Vec::new()).is_some())
            .map(::http::Method::as_str)
            .collect()
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Node {
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
fn ends_with(path: &Path, depth: usize, tail: &[Box<str>]) -> bool {
    let Some(start) = path.len().checked_sub(tail.len()).filter(|start| *start >= depth) else {
        return false;
    };
    tail.iter().enumerate().all(|(index, literal)| path.raw_segment(start + index) == Some(literal))
}
