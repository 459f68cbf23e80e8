//! From host, HTTP method and path to a call.
//!
//! Each host has a trie over path segments, one per verb. The verb picks the trie before any segment is looked at, so a
//! wildcard cannot match it. Within a trie the search goes depth first, a literal before `*` before `**`, and backs out
//! of a branch that has no template for the request's HTTP method, as Google's transcoder does
//! (grpc-httpjson-transcoding, path_matcher_node.cc). So of several templates that match, the one wins that is more
//! specific at the first segment in which they differ; among those that differ only after a `**`, the one with the
//! longer tail; and at one template, the named HTTP method before "any". This order does not decide between two
//! templates of one shape: those are refused at load.
//! A HEAD that no route names takes the route of GET (RFC 9110, section 9.1).
//! Methods that are not exposed are in the tries too. Suppose `GET /v1/{name=*}` is exposed and `GET /v1/status` is
//! not. The backend takes `/v1/status` for the second: to let it pass as a call of the first would run a method that no
//! rule allows. So a closed method shadows exposed ones by the same order, wherever both share a host and an upstream.
//!
//! A backend may read a path in another way: decode it before it routes, ignore the case of letters or a slash at the end, look for the verb
//! behind a colon that was encoded, handle HEAD with its code for GET. The gate judges the route of the path as it was
//! sent. If any such reading leads to another route of the same upstream, the request is refused
//! ([`HostRoutes::refuse_other_readings`]).

mod overlap;
mod route;
mod rpcs;
mod trie;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use foldhash::HashMap;

pub use self::route::{Route, RouteTarget, WrittenRoute};
pub use self::rpcs::NoRpcRoute;
pub(super) use self::rpcs::{RpcRoutes, path_of};
use self::trie::Trie;
use super::method::Call;
use super::options::OPTIONS_METHOD;
use crate::diagnostic::{Report, Span};
use crate::http::path::{PathReading, normalize_literal};
use crate::http::{Path, malformed};
use crate::reason::{Denial, Reason};

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
    /// By the normalized verb.
    with_verb: HashMap<Box<str>, Trie>,
    /// Whether some literal or verb is not in its normalized form: then a path in the normalized form may still match
    /// it in another reading.
    has_odd_literals: bool,
    /// Whether some template ends in a slash.
    has_slashes: bool,
}

impl Router {
    /// Builds the tries. Routes that match the same request are reported, with the place where each is written.
    pub fn build(routes: &[WrittenRoute], report: &mut Report) -> Self {
        let names: BTreeSet<&str> =
            routes.iter().flat_map(|(route, _)| &route.service.hosts).map(String::as_str).collect();
        let mut reported = HashSet::new();
        let mut overlaps = HashSet::new();
        let mut router = Self::default();
        for name in names {
            let on_host: Vec<(usize, &WrittenRoute)> = routes
                .iter()
                .enumerate()
                .filter(|(_, (route, _))| route.service.hosts.iter().any(|host| host == name || host == "*"))
                .collect();
            let mut host_routes = HostRoutes::default();
            let kept = distinct(name, &on_host, &mut reported, report);
            overlap::check(name, &kept, &mut overlaps, report);
            for (route, _) in kept {
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
            let host = host.escape_debug();
            // The client knows the host, and learns nothing of those that there are.
            return Err(Denial::new(
                Reason::MethodNotFound,
                format!("no service is exposed on the host `{host}`"),
            )
            .message(format!("Method not found: no service is on the host `{host}`.")));
        };
        let reading = path.reading();
        let Some(trie) = host_routes.trie(&reading) else {
            let verb = path.verb().unwrap_or_default();
            return Err(Denial::new(
                Reason::MethodNotFound,
                format!("no exposed method on this host has the verb `{verb}`"),
            ));
        };
        let mut closed = Vec::new();
        if let Some(route) = trie.route_or_get(http_method, path, &reading, &mut closed) {
            host_routes.refuse_other_readings(route, http_method, path, &reading)?;
            return route.call(http_method, path).ok_or_else(|| {
                Denial::new(Reason::Internal, "a route that is not exposed was taken for one that is")
            });
        }
        let allowed = host_routes.allowed(trie, path, &reading);
        if !allowed.is_empty() {
            let detail = format!("this path is exposed with {allowed}");
            return Err(Denial::new(Reason::HttpMethodNotAllowed, detail).allow(allowed));
        }
        if path.ends_in_slash() && closed.is_empty() {
            return Err(malformed("the path has an empty segment at its end, and no method has such a path"));
        }
        let detail = match closed.first() {
            Some(route) => format!("no iam rule exposes `{}`", route.rpc()),
            None => "no exposed method on this host has this path".to_owned(),
        };
        Err(Denial::new(Reason::MethodNotFound, detail))
    }
}

impl Router {
    /// The path template of the route that a request takes, as text; `None` where it calls no exposed method. Not for each
    /// request: the text is made anew.
    pub fn template(&self, host: &str, http_method: &::http::Method, path: &Path) -> Option<String> {
        let host_routes = self.hosts.get(host).or(self.any.as_ref())?;
        let reading = path.reading();
        let route = host_routes.trie(&reading)?.route_or_get(http_method, path, &reading, &mut Vec::new())?;
        route.is_open().then(|| route.template.to_string())
    }

    /// What takes the path on any host and in any reading, open or closed, with whatever HTTP method: each method by its
    /// full name and its service's, sorted.
    pub fn at(&self, path: &Path) -> BTreeSet<String> {
        let mut readings = path.other_readings(true);
        readings.push(path.reading());
        let hosts = || self.hosts.values().chain(&self.any);
        let found = readings.iter().flat_map(|reading| {
            hosts().filter_map(|routes| routes.trie(reading)).flat_map(|trie| trie.at(reading))
        });
        found.map(|route| route.long_name()).collect()
    }
}

/// What would take a request that has no exposed method.
impl Router {
    /// The full name of the RPC that the request would call, were it exposed.
    pub fn closed(&self, host: &str, http_method: &::http::Method, path: &Path) -> Option<&str> {
        let reading = path.reading();
        let trie = self.hosts.get(host).or(self.any.as_ref())?.trie(&reading)?;
        let mut closed = Vec::new();
        let open = trie.route_or_get(http_method, path, &reading, &mut closed);
        closed.first().filter(|_| open.is_none()).map(|route| route.rpc())
    }
}

/// The routes of a host without repetitions. Ambiguous ones are reported, once for all hosts.
fn distinct<'r>(
    host: &str,
    routes: &[(usize, &'r WrittenRoute)],
    reported: &mut HashSet<(usize, usize)>,
    report: &mut Report,
) -> Vec<&'r WrittenRoute> {
    let mut same_shape: HashMap<_, Vec<(usize, &WrittenRoute)>> = HashMap::default();
    let mut kept = Vec::new();
    for (index, entry) in routes {
        let (route, span) = *entry;
        let shape = (route.http_method.as_ref(), route.template.normal_shape());
        let earlier = same_shape.entry(shape).or_default();
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
    let (message, help) = if route.template.shape() != first.template.shape() {
        (
            format!(
                "the paths of {} and {} differ only in the case of letters, in punctuation, in a slash at the end or in what is encoded",
                route.long_name(),
                first.long_name()
            ),
            "a backend that ignores the difference runs one for the other: change one of the two paths, or delete it",
        )
    } else if !Arc::ptr_eq(&route.service, &first.service) {
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
            RouteTarget::Open { method, .. } => &method.name,
            RouteTarget::Closed { rpc } => rpc,
        }
    }

    fn long_name(&self) -> String {
        format!("`{}` of `{}`", self.rpc(), self.service.id)
    }

    /// Whether a request that matches both, being of one shape, is the same call either way.
    fn reads_like(&self, other: &Self) -> bool {
        let same_target = match (&self.target, &other.target) {
            (RouteTarget::Closed { rpc }, RouteTarget::Closed { rpc: other }) => rpc == other,
            (
                RouteTarget::Open { method, body, body_field, .. },
                RouteTarget::Open { method: other, body: other_body, body_field: other_field, .. },
            ) => method.index == other.index && body == other_body && body_field == other_field,
            _ => false,
        };
        Arc::ptr_eq(&self.service, &other.service) && same_target && self.template == other.template
    }

    /// Whether two routes of one shape cannot stand side by side: both lead somewhere, or one is what the other's
    /// backend might run instead.
    fn is_rival(&self, other: &Self) -> bool {
        let is_spelled_alike = || self.template.shape() == other.template.shape();
        match (self.is_open(), other.is_open()) {
            (true, true) => self.service.upstream == other.service.upstream || is_spelled_alike(),
            (false, false) => false,
            (true, false) => other.hides(self),
            (false, true) => self.hides(other),
        }
    }

    /// Whether `allow_cors` made it.
    fn is_options(&self) -> bool {
        self.rpc() == OPTIONS_METHOD
    }

    fn is_open(&self) -> bool {
        matches!(self.target, RouteTarget::Open { .. })
    }

    /// Whether a closed route stands in the way of an open one that matches the same request on the same host: the
    /// backend would run the closed method.
    fn hides(&self, open: &Self) -> bool {
        self.service.upstream == open.service.upstream && !self.runs_the_same(open)
    }

    /// Whether a backend that takes one for the other does the same. Several services may bring one RPC on one path, as
    /// those with long-running operations do; of that one, the service that exposes it decides.
    fn runs_the_same(&self, other: &Self) -> bool {
        self.rpc() == other.rpc() && self.template == other.template
    }

    /// The call that a request makes which takes this route; `None` where it leads to no exposed method.
    fn call(&self, http_method: &::http::Method, path: &Path) -> Option<Call> {
        match &self.target {
            RouteTarget::Closed { .. } => None,
            RouteTarget::Open { method, body, body_field, transcoding } => {
                let bindings = self.template.capture(path);
                Some(Call {
                    resource_name: method.resource.name(&bindings),
                    method: method.clone(),
                    bindings,
                    body: body.on(http_method),
                    is_head_of_get: *http_method == ::http::Method::HEAD
                        && self.http_method == Some(::http::Method::GET),
                    body_field: body_field.clone(),
                    transcoding: transcoding.clone(),
                })
            }
        }
    }
}

impl HostRoutes {
    fn insert(&mut self, route: &Arc<Route>) {
        self.has_odd_literals |= !route.template.is_normal();
        self.has_slashes |= route.template.ends_in_slash();
        let trie = match route.template.verb() {
            None => &mut self.without_verb,
            Some(verb) => self.with_verb.entry(normalize_literal(verb)).or_default(),
        };
        trie.insert(route);
    }

    fn trie(&self, reading: &PathReading<'_>) -> Option<&Trie> {
        match reading.verb() {
            None => Some(&self.without_verb),
            Some(verb) => self.with_verb.get(verb),
        }
    }

    /// Refuses a request that takes `route` as it was sent and another route of the same upstream in another reading.
    ///
    /// # Errors
    /// 400: the path is a call of two methods.
    fn refuse_other_readings(
        &self,
        route: &Arc<Route>,
        http_method: &::http::Method,
        path: &Path,
        reading: &PathReading<'_>,
    ) -> Result<(), Denial> {
        if route.is_options()
            && let Some(other) = self.runs_options(route, path, reading)
        {
            return Err(two_methods(route, other));
        }
        let upstream = &*route.service.upstream;
        let taken = |reading: &PathReading<'_>| self.trie(reading)?.taken(http_method, reading, upstream);
        let is_other = |taken: &&Arc<Route>| !Arc::ptr_eq(taken, route) && !taken.runs_the_same(route);
        // Otherwise the search has already used this reading.
        let is_read_anew = self.has_odd_literals || !path.is_normal() || *http_method == ::http::Method::HEAD;
        let folded = is_read_anew.then(|| taken(reading)).flatten();
        let elsewhere = || {
            path.other_readings(self.has_slashes).iter().find_map(|reading| taken(reading).filter(is_other))
        };
        match folded.filter(is_other).or_else(elsewhere) {
            None => Ok(()),
            Some(other) => Err(two_methods(route, other)),
        }
    }

    /// A method that the backend may run for an OPTIONS. Its own routes decide that: it does not have the one that
    /// `allow_cors` made here, so it goes on to a route for any method, also to one that fits less closely.
    fn runs_options(&self, route: &Route, path: &Path, reading: &PathReading<'_>) -> Option<&Arc<Route>> {
        let runs = |other: &&Arc<Route>| {
            !other.is_options()
                && other.service.upstream == route.service.upstream
                && other.http_method.as_ref().is_none_or(|method| *method == ::http::Method::OPTIONS)
        };
        let of = |reading: &PathReading<'_>| self.trie(reading)?.at(reading).into_iter().find(runs);
        of(reading).or_else(|| path.other_readings(self.has_slashes).iter().find_map(of))
    }

    /// The HTTP methods with which a path can be called, for the `Allow` field.
    fn allowed(&self, trie: &Trie, path: &Path, reading: &PathReading<'_>) -> String {
        let is_allowed = |name: &&str| {
            let Ok(http_method) = name.parse() else { return false };
            let route = trie.route_or_get(&http_method, path, reading, &mut Vec::new());
            route.is_some_and(|route| self.refuse_other_readings(route, &http_method, path, reading).is_ok())
        };
        let mut known = trie.http_methods(path, reading);
        if known.contains("GET") {
            known.insert("HEAD");
        }
        let allowed: Vec<&str> = known.into_iter().filter(is_allowed).collect();
        allowed.join(", ")
    }
}

/// The denial of a path that two readers take for calls of two methods. The client is told what to change and not which
/// method the other one is: that may be a closed one.
fn two_methods(route: &Route, other: &Route) -> Denial {
    let (sent, read) = (route.long_name(), other.long_name());
    let detail =
        format!("the request is a call of {sent} as it was sent, and one of {read} in another reading");
    Denial::new(Reason::RequestMalformed, detail).message(
        "the request can be read as a call of another method by a server that decodes the path first, ignores case or \
         punctuation, takes a suffix for a format, HEAD for GET, or no notice of a slash at the end",
    )
}

#[cfg(test)]
mod tests;
