//! Calls that are named and not sent: a method by its full name on a resource, as a person asks about policy.

use std::sync::Arc;

use super::Catalog;
use super::method::{BodyRule, Call, Method};
use crate::diagnostic::Place;
use crate::document::nearest;

/// Why a name and a host are not a method that can be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCallable {
    /// No service has such a method.
    #[error("no exposed method is named `{name}`")]
    Unknown {
        /// As it was asked for.
        name: String,
        /// What may be meant.
        nearest: Option<String>,
    },
    /// It has an http rule and no iam rule.
    #[error("`{name}` is not exposed")]
    Unexposed {
        /// As it was asked for.
        name: String,
        /// Where its http rule is written.
        place: Place,
    },
    /// It is exposed, on other hosts.
    #[error("`{name}` is not exposed on the host `{host}`")]
    OtherHost {
        /// As it was asked for.
        name: String,
        /// As it was asked for.
        host: String,
        /// Where it is exposed.
        hosts: Vec<String>,
    },
    /// Several services have it.
    #[error("several services have this method: {}", services.join(", "))]
    Ambiguous {
        /// The names of the services.
        services: Vec<String>,
        /// A host of the first.
        host: String,
    },
}

impl NotCallable {
    /// The next step. `say_host` is how the user of this front end names a host: ``write `host: {}` `` with the host in
    /// it.
    pub fn help(&self, say_host: impl Fn(&str) -> String) -> String {
        match self {
            Self::Unknown { nearest: Some(known), .. } => format!("did you mean `{known}`?"),
            Self::Unknown { nearest: None, .. } => {
                "write the full name of an RPC that an iam file has a rule for".to_owned()
            }
            Self::Unexposed { place, .. } => {
                format!("it has an http rule ({place}) and no iam rule: add one beside it")
            }
            Self::OtherHost { host, hosts, .. } => match nearest(host, hosts.iter().map(String::as_str)) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("it is on {}", hosts.join(", ")),
            },
            Self::Ambiguous { host, .. } => format!("say which service is meant: {}", say_host(host)),
        }
    }
}

impl Catalog {
    /// The call of a method on a resource. `host` is in lower case; it tells apart services that share a method.
    ///
    /// # Errors
    /// Where no method is meant, or more than one.
    pub fn call(&self, name: &str, host: Option<&str>, resource: &str) -> Result<Call, NotCallable> {
        let on_host = |method: &Method| match host {
            None => true,
            Some(host) => method.service.hosts.iter().any(|known| known == host || known == "*"),
        };
        let named = || self.methods.iter().filter(|method| method.name == name);
        let mut meant: Vec<&Arc<Method>> = named().filter(|method| on_host(method)).collect();
        meant.dedup_by(|left, right| left.service.id == right.service.id);
        match (meant.as_slice(), host) {
            ([method], _) => Ok(Call {
                bindings: Vec::new(),
                method: Arc::clone(method),
                body: BodyRule::Empty,
                body_field: None,
                transcoding: None,
                resource_name: Some(resource.into()),
                is_head_of_get: false,
            }),
            ([], Some(host)) if named().next().is_some() => Err(NotCallable::OtherHost {
                name: name.to_owned(),
                host: host.to_owned(),
                hosts: named().flat_map(|method| method.service.hosts.iter().cloned()).collect(),
            }),
            ([], _) => Err(self.no_method(name)),
            ([first, ..], _) => Err(NotCallable::Ambiguous {
                services: meant.iter().map(|method| method.service.name.clone()).collect(),
                host: host_of(first).to_owned(),
            }),
        }
    }

    fn no_method(&self, name: &str) -> NotCallable {
        if let Some(closed) = self.unexposed.iter().find(|closed| closed.method == name) {
            return NotCallable::Unexposed { name: name.to_owned(), place: closed.place.clone() };
        }
        let known = self.methods.iter().map(|method| method.name.as_str());
        NotCallable::Unknown { name: name.to_owned(), nearest: nearest(name, known).map(str::to_owned) }
    }

    /// Every host that something is exposed on, sorted.
    pub fn hosts(&self) -> Vec<&str> {
        let hosts = self.methods.iter().flat_map(|method| &method.service.hosts);
        let mut hosts: Vec<&str> = hosts.map(String::as_str).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// A host of each service, in the order of the services.
    pub fn one_host_per_service(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = Vec::new();
        for method in &self.methods {
            let host = host_of(method);
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }
}

/// A host that reaches a method's service: the first that is not any.
fn host_of(method: &Method) -> &str {
    let named = method.service.hosts.iter().find(|host| *host != "*");
    named.map_or(method.service.name.as_str(), String::as_str)
}
