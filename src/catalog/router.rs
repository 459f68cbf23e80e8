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
//! Methods that are not exposed are in the tries too. Where `GET /v1/{name=*}` is exposed and `GET /v1/status` is not,
//! the backend takes `/v1/status` for the second: to let it pass as a call of the first would run a method that nobody
//! allowed. So what a service keeps closed shadows what it exposes, by the same order.
//!
//! The search keeps its own stack and visits a node at most once, whatever the path.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::method::{BodyRule, Call, Exposure, Method};
use super::template::{Segment, Template};
use crate::diagnostic::{Report, Span};
use crate::http::Path;
use crate::reason::{Denial, Reason};

/// One binding of a method.
#[derive(Debug)]
pub struct Route {
    /// The service whose method it is.
    pub service: Arc<Exposure>,
    /// The HTTP method, or `None` for any.
    pub http_method: Option<::http::Method>,
    /// The path.
    pub template: Template,
    /// Where it leads.
    pub target: Target,
}

/// A route and where its template is written, kept together while conflicts can still be reported.
pub type WrittenRoute = (Arc<Route>, Span);

/// Where a route leads.
#[derive(Debug)]
pub enum Target {
    /// To an exposed method.
    Open {
        /// The method.
        method: Arc<Method>,
        /// What body it takes.
        body: BodyRule,
        /// The field that the body holds, where it is not the whole message.
        body_field: Option<Arc<str>>,
    },
    /// To a method that no iam rule exposes.
    Closed {
        /// The full RPC name.
        rpc: String,
    },
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

/// The routes of one shape. At most one per HTTP method is open, and none of its own service's is closed.
type Routes = Vec<Arc<Route>>;

impl Router {
    /// Builds the tries. Routes that match the same request are reported, with the place where each is written.
    pub fn build(routes: &[WrittenRoute], report: &mut Report) -> Self {
        let names: BTreeSet<&str> =
            routes.iter().flat_map(|(route, _)| &route.service.hosts).map(String::as_str).collect();
        let mut reported = HashSet::new();
        let mut router = Self::default();
        for name in names {
            let on_host: Vec<(usize, &WrittenRoute)> = routes
                .iter()
                .enumerate()
                .filter(|(_, (route, _))| route.service.hosts.iter().any(|host| host == name || host == "*"))
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
        let mut closed = Vec::new();
        if let Some(call) = trie.call(http_method, path, &mut closed) {
            return Ok(call);
        }
        let allowed = trie.http_methods(path).into_iter().collect::<Vec<_>>().join(", ");
        if !allowed.is_empty() {
            let detail = format!("this path is exposed with {allowed}");
            return Err(Denial::new(Reason::HttpMethodNotAllowed, detail).allow(allowed));
        }
        let detail = match closed.first().map(|route| &route.target) {
            Some(Target::Closed { rpc }) => format!("no iam rule exposes `{rpc}`"),
            _ => "no exposed method on this host has this path".to_owned(),
        };
        Err(Denial::new(Reason::MethodNotFound, detail))
    }
}

/// The routes of a host without repetitions. What would be ambiguous is reported, once for all hosts.
fn distinct<'r>(
    host: &str,
    routes: &[(usize, &'r WrittenRoute)],
    reported: &mut HashSet<(usize, usize)>,
    report: &mut Report,
) -> Vec<&'r WrittenRoute> {
    let mut same_shape: HashMap<_, Vec<(usize, &WrittenRoute)>> = HashMap::new();
    let mut kept = Vec::new();
    for (index, entry) in routes {
        let (route, span) = *entry;
        let earlier = same_shape.entry((route.http_method.as_ref(), route.template.shape())).or_default();
        if earlier.iter().any(|(_, (other, _))| other.reads_like(route)) {
            continue;
        }
        for (other_index, (other, other_span)) in earlier.iter() {
            if other.is_rival(route) && reported.insert((*other_index, *index)) {
                report_rivals(host, (route, span), (other, other_span), report);
            }
        }
        earlier.push((*index, entry));
        kept.push(*entry);
    }
    kept
}

fn report_rivals(
    host: &str,
    (route, span): (&Route, &Span),
    (first, first_span): (&Route, &Span),
    report: &mut Report,
) {
    let (message, help) = if !Arc::ptr_eq(&route.service, &first.service) {
        (
            format!("{} and {} match the same requests on `{host}`", route.long_name(), first.long_name()),
            "expose the services on different hosts, or delete the iam rule of one of the two",
        )
    } else if route.rpc() == first.rpc() {
        (
            format!("`{}` is bound twice to one path, in two ways", route.rpc()),
            "both match the same requests and read them differently: keep one",
        )
    } else {
        (
            format!("`{}` and `{}` match the same requests", route.rpc(), first.rpc()),
            "the backend could take a call of one for a call of the other: delete one of the http rules",
        )
    };
    report.error(span, message).help(help).related(first_span, format!("{} is here", first.long_name()));
}

impl Route {
    /// The full RPC name.
    fn rpc(&self) -> &str {
        match &self.target {
            Target::Open { method, .. } => &method.name,
            Target::Closed { rpc } => rpc,
        }
    }

    fn long_name(&self) -> String {
        format!("`{}` of `{}`", self.rpc(), self.service.id)
    }

    /// Whether a request that matches both, being of one shape, is the same call either way.
    fn reads_like(&self, other: &Self) -> bool {
        let same_target = match (&self.target, &other.target) {
            (Target::Closed { rpc }, Target::Closed { rpc: other }) => rpc == other,
            (
                Target::Open { method, body, body_field },
                Target::Open { method: other, body: other_body, body_field: other_field },
            ) => method.index == other.index && body == other_body && body_field == other_field,
            _ => false,
        };
        Arc::ptr_eq(&self.service, &other.service) && same_target && self.template == other.template
    }

    /// Whether two routes of one shape cannot stand side by side: both lead somewhere, or one is what the other's own
    /// backend might run instead.
    fn is_rival(&self, other: &Self) -> bool {
        match (&self.target, &other.target) {
            (Target::Open { .. }, Target::Open { .. }) => true,
            (Target::Closed { .. }, Target::Closed { .. }) => false,
            _ => Arc::ptr_eq(&self.service, &other.service),
        }
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

    /// The call that a request makes, or `None`. What stood in its way is added to `closed`.
    fn call<'t>(
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
                            body: *body,
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

    /// The HTTP methods with which a path can be called, sorted.
    fn http_methods(&self, path: &Path) -> BTreeSet<&str> {
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

#[cfg(test)]
mod tests;
