//! The routes of gRPC: `/package.Service/Method` on the hosts of its service.

use std::sync::Arc;

use foldhash::HashMap;

use super::Router;
use crate::catalog::method::Method;
use crate::http::Path;
use crate::reason::{Denial, Reason};

/// The methods of one host, by their path.
#[derive(Debug, Default)]
pub(in crate::catalog) struct RpcRoutes {
    by_host: HashMap<Box<str>, HashMap<Box<str>, RpcTarget>>,
}

/// What a path leads to.
#[derive(Clone, Debug)]
enum RpcTarget {
    Method(Arc<Method>),
    /// Several services of the host have it.
    Ambiguous,
}

/// The path of an RPC with this full name; `None` where it is not one.
pub(in crate::catalog) fn path_of(rpc: &str) -> Option<String> {
    let (interface, method) = rpc.rsplit_once('.')?;
    Some(format!("/{interface}/{method}"))
}

impl RpcRoutes {
    /// The routes of the methods whose messages are known. `left_out` is told of those that have none, or not on each host, and
    /// why.
    pub(in crate::catalog) fn build(
        methods: &[Arc<Method>],
        router: &Router,
        mut left_out: impl FnMut(&Arc<Method>, NoRpcRoute),
    ) -> Self {
        let mut routes = Self::default();
        let callable = || methods.iter().filter(|method| method.rpc.is_some());
        for method in callable() {
            let Some(path) = path_of(&method.name) else { continue };
            if let Some(other) = router.takes_rpc(&path, method) {
                left_out(method, NoRpcRoute::TakenByHttp(other));
                continue;
            }
            for host in &method.service.hosts {
                let on_host = routes.by_host.entry(host.as_str().into()).or_default();
                let known = on_host.insert(path.as_str().into(), RpcTarget::Method(method.clone()));
                let is_same = |known: &RpcTarget| matches!(known, RpcTarget::Method(known) if Arc::ptr_eq(known, method));
                if known.is_some_and(|known| !is_same(&known)) {
                    on_host.insert(path.as_str().into(), RpcTarget::Ambiguous);
                    left_out(method, NoRpcRoute::Ambiguous(host.clone()));
                }
            }
        }
        routes
    }

    /// The method that a call is of.
    ///
    /// # Errors
    /// Where no exposed method has this path over gRPC.
    pub(in crate::catalog) fn route(&self, host: &str, path: &Path) -> Result<Arc<Method>, Denial> {
        let of = |host: &str| self.by_host.get(host).and_then(|routes| routes.get(path.as_str()));
        match of(host).or_else(|| of("*")) {
            Some(RpcTarget::Method(method)) => Ok(method.clone()),
            Some(RpcTarget::Ambiguous) => {
                Err(Denial::new(Reason::MethodNotFound, "several services of this host have this RPC"))
            }
            None => Err(Denial::new(
                Reason::MethodNotFound,
                "no exposed method on this host has this path over gRPC",
            )),
        }
    }
}

/// Why a method whose messages are known is not called over gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRpcRoute {
    /// An http rule of another method takes its path.
    TakenByHttp(String),
    /// Another service has it on this host.
    Ambiguous(String),
    /// The messages are not known.
    NoDescriptor,
    /// The message does not have the fields of the resource.
    Fields(String),
}

impl Router {
    /// Another method of the same backend that a POST of this path calls by an http rule.
    fn takes_rpc(&self, path: &str, method: &Method) -> Option<String> {
        let path = Path::parse(path).ok()?;
        let reading = path.reading();
        let hosts = method
            .service
            .hosts
            .iter()
            .filter_map(|host| self.hosts.get(host.as_str()).or(self.any.as_ref()));
        let mut taken = hosts
            .filter_map(|routes| routes.trie(&reading))
            .filter_map(|trie| trie.taken(&::http::Method::POST, &reading, &method.service.upstream));
        taken.find(|route| route.rpc() != method.name).map(|route| route.rpc().to_owned())
    }
}
