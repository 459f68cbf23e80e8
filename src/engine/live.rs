//! What requests are decided and forwarded by.

use std::sync::Arc;

use super::of_methods::SnapshotInstruments;
use super::{EngineInstruments, LiveShadows};
use crate::assertion::Assertions;
use crate::catalog::OperationMethod;
use crate::decision::shadow::Shadows;
use crate::decision::snapshot::Snapshot;
use crate::metrics::Names;
use crate::upstream::Upstreams;

/// A snapshot, the upstreams that its services name, and the instruments of its methods: swapped together, so that a call
/// that was judged by the old policy never reaches a new backend of the same name.
#[derive(Debug)]
pub struct Live {
    /// The snapshot in force.
    pub snapshot: Snapshot,
    upstreams: Arc<Upstreams>,
    assertions: Option<Arc<Assertions>>,
    instruments: SnapshotInstruments,
    shadows: LiveShadows,
}

impl Live {
    /// A snapshot with the upstreams that its services name, the keys that sign assertions for them, the policies that
    /// are asked beside its own, and its instruments.
    pub fn new(
        snapshot: Snapshot,
        upstreams: Arc<Upstreams>,
        assertions: Option<Arc<Assertions>>,
        shadows: Arc<Shadows>,
        instruments: &EngineInstruments,
    ) -> Self {
        let EngineInstruments { requests, upstream, .. } = instruments;
        let shadows = LiveShadows::new(shadows, snapshot.catalog.methods(), &requests.shadows);
        let instruments = SnapshotInstruments::new(&snapshot, requests, upstream);
        Self { snapshot, upstreams, assertions, instruments, shadows }
    }

    /// The upstreams that its services name.
    pub fn upstreams(&self) -> &Arc<Upstreams> {
        &self.upstreams
    }

    /// What signs for them.
    pub fn assertions(&self) -> Option<&Arc<Assertions>> {
        self.assertions.as_ref()
    }

    /// The names of the methods that cancel operations, each with its service's.
    pub(super) fn cancelling(&self) -> impl Iterator<Item = (&str, &str)> {
        let methods = self.snapshot.catalog.methods().iter();
        let cancelling = methods.filter(|method| method.operation == Some(OperationMethod::Cancel));
        cancelling.map(|method| (method.service.name.as_str(), method.name.as_str()))
    }

    /// The policies that are asked beside the one in force, and decide nothing.
    pub fn shadows(&self) -> &LiveShadows {
        &self.shadows
    }

    /// The instruments of its services and methods.
    pub fn instruments(&self) -> &SnapshotInstruments {
        &self.instruments
    }

    /// The names that it gives to series.
    pub fn names(&self) -> Names {
        let methods = self.snapshot.catalog.methods().iter();
        let named = methods.map(|method| (method.service.name.clone(), method.name.clone()));
        let endpoints = self.upstreams.status().into_iter();
        Names {
            issuers: self.snapshot.authn.issuer_names().map(str::to_owned).collect(),
            upstreams: self.upstreams.names().map(str::to_owned).collect(),
            endpoints: endpoints
                .map(|endpoint| (endpoint.upstream.to_string(), endpoint.address.to_string()))
                .collect(),
            services: self.snapshot.catalog.services().map(|service| service.name.clone()).collect(),
            methods: named.collect(),
        }
    }
}
