//! The instruments of a snapshot's services and methods, each resolved once.
//!
//! A series that is likely is made with its snapshot, at 0; another one is made when it is first needed, and then kept.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use prometheus::IntCounter;

use super::instruments::{ALLOWED, Instruments};
use super::of_tokens::TokenCounters;
use crate::catalog::{Catalog, Method};
use crate::decision::snapshot::Snapshot;
use crate::metrics::{TracedHistogram, UNKNOWN};
use crate::reason::Reason;
use crate::upstream::{self, UpstreamInstruments};

/// The statuses that are told apart in metrics. All others are [`OTHER_CODE`]: a backend may answer any.
pub const CODES: [(u16, &str); 26] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (206, "206"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (412, "412"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (421, "421"),
    (429, "429"),
    (431, "431"),
    (499, "499"),
    (500, "500"),
    (501, "501"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];

/// The `code` of any other status.
pub const OTHER_CODE: &str = "other";

/// Each status of [`CODES`], and the others.
const CODE_COUNT: usize = CODES.len() + 1;

fn place_of(status: u16) -> usize {
    CODES.iter().position(|(known, _)| *known == status).unwrap_or(CODES.len())
}

/// The value of the label `code`.
fn code(status: u16) -> &'static str {
    CODES.get(place_of(status)).map_or(OTHER_CODE, |(_, text)| text)
}

/// The instruments of one service.
#[derive(Debug)]
pub struct ServiceInstruments {
    name: Arc<str>,
    overhead: OnceLock<TracedHistogram>,
    /// Of requests that call none of its methods.
    unrouted: Counters,
}

/// The instruments of one method.
#[derive(Debug)]
pub struct MethodInstruments {
    counters: Counters,
    duration: OnceLock<TracedHistogram>,
    /// Of its service.
    pub service: Arc<ServiceInstruments>,
    /// Of the upstream that its calls go to.
    pub upstream: Arc<UpstreamInstruments>,
}

/// The counters of the requests of one method, by what became of them.
#[derive(Debug)]
struct Counters {
    service: Arc<str>,
    method: Arc<str>,
    allowed: [OnceLock<IntCounter>; CODE_COUNT],
    /// By reason, with the status of the reason.
    refused: Box<[OnceLock<IntCounter>]>,
}

impl Counters {
    fn new(service: &Arc<str>, method: &Arc<str>) -> Self {
        Self {
            service: service.clone(),
            method: method.clone(),
            allowed: [const { OnceLock::new() }; CODE_COUNT],
            refused: Reason::ALL.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    fn count(&self, all: &Instruments, status: u16, reason: Option<Reason>) {
        let known = match reason {
            None => self.allowed.get(place_of(status)),
            Some(reason) if reason.entry().status == status => self.refused.get(reason as usize),
            Some(_) => None,
        };
        let name = reason.map_or(ALLOWED, |reason| reason.entry().name);
        let counter = || all.requests.with_label_values(&[&*self.service, &*self.method, code(status), name]);
        match known {
            Some(known) => known.get_or_init(counter).inc(),
            None => counter().inc(),
        }
    }
}

impl MethodInstruments {
    /// Counts a request, and how long it took where it was allowed.
    pub(super) fn count(&self, all: &Instruments, status: u16, reason: Option<Reason>) {
        self.counters.count(all, status, reason);
    }

    /// Where the time of the method's allowed requests is told.
    pub(super) fn duration(&self, all: &Instruments) -> &TracedHistogram {
        let labels = [&*self.counters.service, &*self.counters.method];
        self.duration.get_or_init(|| all.request_duration.with_label_values(&labels))
    }
}

impl ServiceInstruments {
    fn new(name: &Arc<str>) -> Self {
        Self {
            name: name.clone(),
            overhead: OnceLock::new(),
            unrouted: Counters::new(name, &Arc::from(UNKNOWN)),
        }
    }

    /// Where the gate's own time is told.
    pub(super) fn overhead(&self, all: &Instruments) -> &TracedHistogram {
        self.overhead.get_or_init(|| all.overhead.with_label_values(&[&*self.name]))
    }
}

/// The instruments of a snapshot.
#[derive(Debug)]
pub struct SnapshotInstruments {
    methods: Vec<MethodInstruments>,
    services: HashMap<Arc<str>, Arc<ServiceInstruments>>,
    unknown: Arc<ServiceInstruments>,
    /// Of the tokens of its issuers.
    pub(super) tokens: TokenCounters,
}

impl SnapshotInstruments {
    /// Those of its issuers, services and methods. Each method has a series of calls that go well.
    pub(super) fn new(snapshot: &Snapshot, all: &Instruments, upstreams: &upstream::Instruments) -> Self {
        let tokens = TokenCounters::new(&snapshot.authn, all);
        let (methods, services) = Self::of_catalog(&snapshot.catalog, all, upstreams);
        Self { methods, services, unknown: Arc::new(ServiceInstruments::new(&UNKNOWN.into())), tokens }
    }

    fn of_catalog<'c>(
        catalog: &'c Catalog,
        all: &Instruments,
        upstreams: &upstream::Instruments,
    ) -> (Vec<MethodInstruments>, HashMap<Arc<str>, Arc<ServiceInstruments>>) {
        let mut services: HashMap<Arc<str>, Arc<ServiceInstruments>> = HashMap::new();
        let mut of_upstreams: HashMap<&'c str, Arc<UpstreamInstruments>> = HashMap::new();
        let mut instruments = |method: &'c Arc<Method>| {
            let name: Arc<str> = method.service.name.as_str().into();
            let service = services.entry(name.clone()).or_insert_with(|| {
                let service = ServiceInstruments::new(&name);
                service.overhead(all);
                Arc::new(service)
            });
            let upstream = of_upstreams.entry(&method.service.upstream);
            let upstream = upstream.or_insert_with(|| Arc::new(upstreams.of(&method.service.upstream)));
            let counters = Counters::new(&name, &method.name.as_str().into());
            if let Some(answered) = counters.allowed.first() {
                let labels = [&*counters.service, &*counters.method, code(200), ALLOWED];
                answered.get_or_init(|| all.requests.with_label_values(&labels));
            }
            MethodInstruments {
                counters,
                duration: OnceLock::new(),
                service: service.clone(),
                upstream: upstream.clone(),
            }
        };
        let methods = catalog.methods().iter().map(&mut instruments).collect();
        (methods, services)
    }

    /// Those of a method of the snapshot.
    pub fn of(&self, method: &Method) -> Option<&MethodInstruments> {
        self.methods.get(method.index)
    }

    /// Those of a service, by its name; of any other where it has none.
    pub(super) fn of_service(&self, name: Option<&str>) -> &ServiceInstruments {
        name.and_then(|name| self.services.get(name)).unwrap_or(&self.unknown)
    }

    /// Counts a request that calls no known method.
    pub(super) fn count_unrouted(
        &self,
        service: &ServiceInstruments,
        all: &Instruments,
        status: u16,
        reason: Unrouted,
    ) {
        let counters = &service.unrouted;
        match reason {
            Unrouted::Refused(reason) => counters.count(all, status, Some(reason)),
            Unrouted::Answered(reason) => {
                let labels = [&*counters.service, &*counters.method, code(status), reason];
                all.requests.with_label_values(&labels).inc();
            }
        }
    }
}

/// What became of a request that calls no known method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrouted {
    /// It was refused.
    Refused(Reason),
    /// The gate answered it by itself, for this reason.
    Answered(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_a_refusal_is_told_apart_and_the_statuses_are_few() {
        for reason in Reason::ALL {
            assert_ne!(code(reason.entry().status), OTHER_CODE, "{reason:?}");
        }
        assert!(CODES.iter().all(|(status, text)| status.to_string() == *text && code(*status) == *text));
        assert!(CODES.is_sorted() && CODES.len() <= 30);
        for status in [0, 302, 418, 599, 999] {
            assert_eq!(code(status), OTHER_CODE);
        }
    }
}
