//! What requests are decided and forwarded by.

use std::sync::Arc;

use super::{Instruments, LiveShadows, MethodInstruments};
use crate::assertion::Assertions;
use crate::catalog::OperationMethod;
use crate::decision::shadow::Shadows;
use crate::decision::snapshot::Snapshot;
use crate::upstream::Upstreams;

/// A snapshot, the upstreams that its services name, and the instruments of its methods: swapped together, so that a call
/// that was judged by the old policy never reaches a new backend of the same name.
#[derive(Debug)]
pub struct Live {
    /// The snapshot in force.
    pub snapshot: Snapshot,
    upstreams: Arc<Upstreams>,
    assertions: Option<Arc<Assertions>>,
    instruments: Vec<MethodInstruments>,
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
        instruments: &Instruments,
    ) -> Self {
        let methods = snapshot.catalog.methods();
        let shadows = LiveShadows::new(shadows, methods, &instruments.shadows);
        let instruments = instruments.of_methods(methods);
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

    /// The instruments of its methods, by [`Method::index`](crate::catalog::Method::index).
    pub(super) fn instruments(&self) -> &[MethodInstruments] {
        &self.instruments
    }
}
