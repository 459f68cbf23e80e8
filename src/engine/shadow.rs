//! Asks shadow policies about requests that are over, and counts what they say.
//!
//! A request is answered first: nothing that a shadow does, and nothing that goes wrong in it, changes or delays its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use prometheus::{IntCounter, IntCounterVec};

use crate::catalog::Method;
use crate::decision::Trace;
use crate::decision::shadow::{ShadowDecision, ShadowTree, Shadows};
use crate::http::Request;
use crate::metrics::{Registry, counters};

/// What Prometheus reads of shadows.
#[derive(Clone, Debug)]
pub struct ShadowInstruments {
    decisions: IntCounterVec,
}

/// The counters of what both policies say: `[in force][shadow]`, refused before allowed.
type Counters = [[IntCounter; 2]; 2];

/// The shadows of the methods in force.
#[derive(Debug, Default)]
pub struct LiveShadows {
    shadows: Arc<Shadows>,
    /// By [`Method::index`]; empty where no service has a shadow.
    of_methods: Vec<Option<Arc<ShadowTree>>>,
    counters: Option<Counters>,
}

impl ShadowInstruments {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let decisions = counters(
            registry,
            "opgate_shadow_decisions_total",
            "Decisions of the policy in force beside those of the shadow policy; each is `allowed` or `denied`.",
            &["in_force", "shadow"],
        )?;
        Ok(Self { decisions })
    }

    /// All counters, at zero from their first moment. Without a shadow there are none.
    fn counters(&self, shadows: &Shadows) -> Option<Counters> {
        if !shadows.is_set() {
            self.decisions.reset();
            return None;
        }
        let of = |in_force, shadow| self.decisions.with_label_values(&[name(in_force), name(shadow)]);
        Some([false, true].map(|in_force| [false, true].map(|shadow| of(in_force, shadow))))
    }
}

fn name(is_allowed: bool) -> &'static str {
    if is_allowed { "allowed" } else { "denied" }
}

impl LiveShadows {
    pub(super) fn new(
        shadows: Arc<Shadows>,
        methods: &[Arc<Method>],
        instruments: &ShadowInstruments,
    ) -> Self {
        let counters = instruments.counters(&shadows);
        let of = |method: &Arc<Method>| shadows.of(&method.service.id).cloned();
        let of_methods =
            if shadows.trees().is_empty() { Vec::new() } else { methods.iter().map(of).collect() };
        Self { shadows, of_methods, counters }
    }

    /// The trees and the settings.
    pub fn shadows(&self) -> &Arc<Shadows> {
        &self.shadows
    }

    /// What the shadow of the called service says of a request that was decided at a time.
    pub(super) fn judge<'r>(
        &'r self,
        request: Option<&'r Request>,
        trace: &'r Trace,
        time: SystemTime,
    ) -> Option<ShadowDecision<'r>> {
        let method = &trace.call.as_ref()?.method;
        let tree = self.of_methods.get(method.index)?.as_deref()?;
        guarded(method, || tree.judge(request?, trace, time))
    }

    /// Counts it.
    pub(super) fn count(&self, decision: &ShadowDecision<'_>) {
        let Some([refused, allowed]) = &self.counters else { return };
        let [denied, granted] = if decision.in_force { allowed } else { refused };
        if decision.verdict.is_allowed() { granted.inc() } else { denied.inc() }
    }
}

/// What is asked, or nothing where it panics.
fn guarded<T>(method: &Method, ask: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        let method = &*method.name;
        tracing::error!(
            method,
            "the shadow policy failed at a request: a fault of ours, which changed nothing"
        );
        None
    })
}

#[cfg(test)]
mod tests;
