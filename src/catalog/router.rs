//! From host, HTTP method and path to a call.
//!
//! Each host has a trie over path segments, one per verb: a verb picks the trie before any segment is looked at, so no
//! wildcard can swallow one. Within a trie the search goes depth first, a literal before `*` before `**`, and backs
//! out of a branch that has no template for the request's HTTP method, as Google's transcoder does
//! (grpc-httpjson-transcoding, path_matcher_node.cc). So of several templates that match, the one wins that is more
//! specific at the first segment in which they differ; among those that differ only after a `**`, the one with the
//! longer tail; and at one template, the named HTTP method before "any". What this order does not decide is two
//! templates of one shape, and those are refused at load.
//!
//! The search keeps its own stack and visits a node at most once, whatever the path.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::method::{BodyRule, Call, Method};
use super::template::{Segment, Template};
use crate::diagnostic::{Report, Span};
use crate::http::Path;
use crate::reason::{Denial, Reason};

/// One binding of an exposed method.
#[derive(Debug)]
pub struct Route {
    /// The method.
    pub method: Arc<Method>,
    /// The HTTP method, or `None` for any.
    pub http_method: Option<::http::Method>,
    /// The path.
    pub template: Template,
    /// What body it takes.
    pub body: BodyRule,
    /// The field that the body holds, where it is not the whole message.
    pub body_field: Option<Arc<str>>,
}

/// Every route, by host.
#[derive(Debug, Default)]
pub struct Router {
    hosts: HashMap<Box<str>, HostRoutes>,
    /// What is exposed on `*`; the routes of a named host include these.
    any: Option<HostRoutes>,
}

#[derive(Debug, Default)]
struct HostRoutes {
    without_verb: Trie,
    with_verb: HashMap<Box<str>, Trie>,
}

#[derive(Debug)]
struct Trie {
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

/// The routes of one shape: at most one per HTTP method.
type Routes = Vec<Arc<Route>>;

impl Router {
    /// Builds the tries. Routes that match the same request are reported, with the place where each is written.
    pub fn build(routes: &[(Arc<Route>, Span)], report: &mut Report) -> Self {
        let names: BTreeSet<&str> =
            routes.iter().flat_map(|(route, _)| &route.method.service.hosts).map(String::as_str).collect();
        let mut reported = HashSet::new();
        let mut router = Self::default();
        for name in names {
            let on_host: Vec<(usize, &(Arc<Route>, Span))> = routes
                .iter()
                .enumerate()
                .filter(|(_, (route, _))| {
                    route.method.service.hosts.iter().any(|host| host == name || host == "*")
                })
                .collect();
            let mut host_routes = HostRoutes::default();
            for (route, _) in distinct(name, &on_host, &mut reported, report) {
                host_routes.insert(route);
            }
            match name {
                "*" => router.any = Some(host_routes),
                _ => {
                    router.hosts.insert(name.into(), host_routes);
                }
            }
        }
        router
    }

    /// Finds the method that a request calls. `host` is in lower case, without port.
    ///
    /// # Errors
    /// [`Reason::MethodNotFound`] where no exposed method has this path, [`Reason::HttpMethodNotAllowed`] with the
    /// methods it has where the path is known.
    pub fn route(&self, host: &str, http_method: &::http::Method, path: &Path) -> Result<Call, Denial> {
        let Some(host_routes) = self.hosts.get(host).or(self.any.as_ref()) else {
            return Err(Denial::new(
                Reason::MethodNotFound,
                format!("no service is exposed on the host `{}`", host.escape_debug()),
            ));
        };
        let Some(trie) = host_routes.trie(path) else {
            let verb = path.verb().unwrap_or_default();
            return Err(Denial::new(
                Reason::MethodNotFound,
                format!("no exposed method on this host has the verb `{verb}`"),
            ));
        };
        if let Some(route) = trie.search(path, |routes| accepting(routes, http_method)) {
            return Ok(Call {
                method: route.method.clone(),
                bindings: route.template.capture(path),
                body: route.body,
                body_field: route.body_field.clone(),
            });
        }
        let allowed = trie.http_methods(path);
        if allowed.is_empty() {
            return Err(Denial::new(Reason::MethodNotFound, "no exposed method on this host has this path"));
        }
        let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
        let detail = format!("this path is exposed with {allowed}");
        Err(Denial::new(Reason::HttpMethodNotAllowed, detail).allow(allowed))
    }
}

/// The route that takes this HTTP method: the one that names it, else the one that takes any.
fn accepting<'r>(routes: &'r Routes, http_method: &::http::Method) -> Option<&'r Arc<Route>> {
    routes
        .iter()
        .find(|route| route.http_method.as_ref() == Some(http_method))
        .or_else(|| routes.iter().find(|route| route.http_method.is_none()))
}

/// The routes of a host without those that another one shadows; the latter are reported, once for all hosts.
fn distinct<'r>(
    host: &str,
    routes: &[(usize, &'r (Arc<Route>, Span))],
    reported: &mut HashSet<(usize, usize)>,
    report: &mut Report,
) -> Vec<&'r (Arc<Route>, Span)> {
    let mut taken: HashMap<(Option<&::http::Method>, String), (usize, &(Arc<Route>, Span))> = HashMap::new();
    let mut kept = Vec::new();
    for (index, entry) in routes {
        let (route, span) = *entry;
        let key = (route.http_method.as_ref(), route.template.shape());
        let Some((first_index, (first, first_span))) = taken.get(&key) else {
            taken.insert(key, (*index, entry));
            kept.push(*entry);
            continue;
        };
        if first.reads_like(route) || !reported.insert((*first_index, *index)) {
            continue;
        }
        if first.method.index == route.method.index {
            report
                .error(span, format!("`{}` is bound twice to one path, in two ways", route.method.name))
                .help("both match the same requests and read them differently: keep one")
                .related(first_span, "the first is here");
        } else {
            report
                .error(
                    span,
                    format!(
                        "`{}` and `{}` match the same requests on `{host}`",
                        route.method.name, first.method.name
                    ),
                )
                .help("expose the services on different hosts, or delete the iam rule of one of the two")
                .related(
                    first_span,
                    format!("`{}` of `{}` is here", first.method.name, first.method.service.name),
                );
        }
    }
    kept
}

impl Route {
    /// Whether a request that matches both, being of one shape, is the same call either way.
    fn reads_like(&self, other: &Self) -> bool {
        self.method.index == other.method.index
            && self.template == other.template
            && self.body == other.body
            && self.body_field == other.body_field
    }
}

impl HostRoutes {
    fn insert(&mut self, route: &Arc<Route>) {
        let trie = match route.template.verb() {
            None => &mut self.without_verb,
            Some(verb) => self.with_verb.entry(verb.into()).or_default(),
        };
        trie.insert(route);
    }

    fn trie(&self, path: &Path) -> Option<&Trie> {
        match path.verb() {
            None => Some(&self.without_verb),
            Some(verb) => self.with_verb.get(verb),
        }
    }
}

/// A step of the search that is still to be taken.
enum Step {
    /// Look at a node, with so many segments of the path behind it.
    Enter(usize, usize),
    /// Try the node's `**`.
    Rest(usize, usize),
}

impl Trie {
    fn insert(&mut self, route: &Arc<Route>) {
        let mut at = 0;
        let mut segments = route.template.segments().iter();
        for segment in segments.by_ref() {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
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
        if let Some(node) = self.nodes.get_mut(at) {
            node.ends.push(route.clone());
        }
    }

    /// Offers every shape that matches the path to `choose`, the most specific first, until it takes one.
    fn search<'t, T>(&'t self, path: &Path, mut choose: impl FnMut(&'t Routes) -> Option<T>) -> Option<T> {
        let mut steps = vec![Step::Enter(0, 0)];
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

    /// The HTTP methods under which a path is known, sorted.
    fn http_methods(&self, path: &Path) -> BTreeSet<&str> {
        let mut methods = BTreeSet::new();
        self.search(path, |routes| {
            methods.extend(
                routes.iter().filter_map(|route| route.http_method.as_ref()).map(::http::Method::as_str),
            );
            None::<()>
        });
        methods
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

#[cfg(test)]
mod tests;
