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

mod trie;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use self::trie::Trie;
use super::method::{BodyRule, Call, Exposure, Method};
use super::template::Template;
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

impl Router {
    /// What takes the path on any host, open or closed, with whatever HTTP method: each method by its full name and its
    /// service's, sorted.
    pub fn at(&self, path: &Path) -> BTreeSet<String> {
        let tries = self.hosts.values().chain(&self.any).filter_map(|routes| routes.trie(path));
        tries.flat_map(|trie| trie.at(path)).map(|route| route.long_name()).collect()
    }
}

/// What stands in the way of a request that leads nowhere.
impl Router {
    /// The full name of the RPC that the request would call, were it exposed.
    pub fn closed(&self, host: &str, http_method: &::http::Method, path: &Path) -> Option<&str> {
        let trie = self.hosts.get(host).or(self.any.as_ref())?.trie(path)?;
        let mut closed = Vec::new();
        let open = trie.call(http_method, path, &mut closed);
        closed.first().filter(|_| open.is_none()).map(|route| route.rpc())
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

#[cfg(test)]
mod tests;
