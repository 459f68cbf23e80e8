//! What conditions may read of a request, beside the caller, the method and the resource
//! (<https://cloud.google.com/iam/docs/conditions-attribute-reference>).
//!
//! An attribute that is not known makes a condition that reads it impossible to evaluate: such a condition never
//! grants, and a deny rule with such a condition denies.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::catalog::Call;
use crate::principal::Caller;

/// The attributes of one request.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'r> {
    /// `request.time`.
    pub time: SystemTime,
    /// `request.path`, decoded: what it says however it was encoded.
    pub path: Option<&'r str>,
    /// `request.host`, in lower case, without port.
    pub host: Option<&'r str>,
    /// `request.method`: the HTTP method.
    pub method: Option<&'r str>,
    /// `origin.ip`: the other end of the connection.
    pub origin: Option<IpAddr>,
    /// `resource.service`: the `name` of the google.api.Service.
    pub service: Option<&'r str>,
    /// `resource.type`: what the method's iam rule says its resource is.
    pub resource_type: Option<&'r str>,
    /// `request.auth.claims`: the verified token's.
    pub claims: Option<&'r Map<String, Value>>,
    /// Where it is noted which attributes conditions ask for.
    pub consulted: Option<&'r Cell<Consulted>>,
}

/// An attribute of one request. The method, the resource and the caller's name are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `request.time`.
    Time,
    /// `request.path`.
    Path,
    /// `request.host`.
    Host,
    /// `request.method`.
    Method,
    /// `request.auth.claims`.
    Claims,
    /// `origin.ip`.
    Origin,
}

/// Which attributes conditions read while a call was decided. A simulated call (a test, a line of a log) may lack some
/// of them: this tells whether its answer depends on one that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consulted {
    asked: u8,
    missing: u8,
}

impl<'r> Attributes<'r> {
    /// The time and nothing else.
    pub fn at(time: SystemTime) -> Self {
        Self {
            time,
            path: None,
            host: None,
            method: None,
            origin: None,
            service: None,
            resource_type: None,
            claims: None,
            consulted: None,
        }
    }

    /// With what the call and the caller add.
    pub(super) fn of_call(self, call: &'r Call, caller: Option<&'r Caller>) -> Self {
        Self {
            service: Some(&call.method.service.name),
            resource_type: call.method.resource_type.as_deref(),
            claims: caller.and_then(|caller| caller.claims.as_ref()),
            ..self
        }
    }

    /// Notes that a condition asked for an attribute, and whether it is known.
    pub(super) fn note(&self, attribute: Attribute, known: bool) {
        if let Some(cell) = self.consulted {
            let Consulted { asked, missing } = cell.get();
            let bit = attribute.bit();
            let missing = if known { missing } else { missing | bit };
            cell.set(Consulted { asked: asked | bit, missing });
        }
    }
}

impl Attribute {
    /// Every one, in the order in which they are told.
    pub const ALL: [Self; 6] = [Self::Time, Self::Path, Self::Host, Self::Method, Self::Claims, Self::Origin];

    /// How conditions write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "request.time",
            Self::Path => "request.path",
            Self::Host => "request.host",
            Self::Method => "request.method",
            Self::Claims => "request.auth.claims",
            Self::Origin => "origin.ip",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Consulted {
    /// Whether a condition asked for it.
    pub fn asked_for(self, attribute: Attribute) -> bool {
        self.asked & attribute.bit() != 0
    }

    /// What conditions asked for and was not known.
    pub fn missing(self) -> impl Iterator<Item = Attribute> {
        Attribute::ALL.into_iter().filter(move |attribute| self.missing & attribute.bit() != 0)
    }
}
