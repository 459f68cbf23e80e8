//! Every instrument of the process, registered in one place.

use crate::engine::{self, EngineInstruments};
use crate::metrics::Registry;
use crate::{admin, audit, authn, cancels, listener, otlp, reload, upstream};

/// The instruments of every module.
pub(super) struct Registered {
    pub(super) admin: admin::Instruments,
    pub(super) audit: audit::Instruments,
    pub(super) cancels: cancels::Instruments,
    pub(super) engine: EngineInstruments,
    pub(super) listener: listener::Instruments,
    pub(super) otlp: otlp::Instruments,
    pub(super) reload: reload::Instruments,
}

impl Registered {
    /// Makes and registers them.
    ///
    /// # Errors
    /// Where two have one name: a fault of ours.
    pub(super) fn in_registry(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            admin: admin::Instruments::register(registry)?,
            audit: audit::Instruments::register(registry)?,
            cancels: cancels::Instruments::register(registry)?,
            engine: EngineInstruments {
                requests: engine::Instruments::register(registry)?,
                authn: authn::Instruments::register(registry)?,
                upstream: upstream::Instruments::register(registry)?,
            },
            listener: listener::Instruments::register(registry)?,
            otlp: otlp::Instruments::register(registry)?,
            reload: reload::Instruments::register(registry)?,
        })
    }
}
