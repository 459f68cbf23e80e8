//! A cancel that was forwarded, and its end.

use std::sync::Arc;
use std::time::Duration;

use super::instruments::ServiceInstruments;
use super::moment::Moment;
use super::outcome::{CancelOutcome, CancelState};
use crate::principal::Principal;

/// A cancel that is about to be forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name of the service.
    pub service: &'a str,
    /// The full name of the method that cancels.
    pub method: &'a str,
    /// The name of the operation.
    pub name: &'a str,
    /// Who asked; `None` where the method takes callers without a credential.
    pub principal: Option<&'a Principal>,
    /// The id of the request.
    pub request_id: &'a str,
    /// When it came.
    pub at: Moment,
}

/// A cancel that was forwarded.
#[derive(Debug)]
pub struct Cancel {
    pub(super) service: Arc<ServiceInstruments>,
    /// The full name of the method that cancels.
    pub method: Arc<str>,
    /// The name of the operation.
    pub name: Box<str>,
    /// Who asked.
    pub principal: Option<Principal>,
    /// The id of its request.
    pub request_id: Box<str>,
    /// When its request came.
    pub asked: Moment,
}

impl Cancel {
    /// `None` where the service has no such method any more.
    pub(super) fn new(service: Arc<ServiceInstruments>, asked: Asked<'_>) -> Option<Self> {
        Some(Self {
            method: service.method(asked.method)?,
            service,
            name: asked.name.into(),
            principal: asked.principal.cloned(),
            request_id: asked.request_id.into(),
            asked: asked.at,
        })
    }

    /// The name of the service.
    pub fn service(&self) -> &str {
        self.service.name()
    }
}

/// The end of a watched cancel.
#[derive(Debug)]
pub struct CancelEnd {
    /// The cancel.
    pub cancel: Arc<Cancel>,
    /// How it ended.
    pub outcome: CancelOutcome,
    /// When that was known.
    pub observed: Moment,
    /// The full name of the method whose answer told; `None` where none did.
    pub seen_by: Option<Box<str>>,
}

impl CancelEnd {
    /// From the cancel to its end: at most so long did it take.
    pub fn took(&self) -> Duration {
        self.observed.instant.saturating_duration_since(self.cancel.asked.instant)
    }
}

/// A cancel whose outcome is awaited.
#[derive(Clone, Debug)]
pub struct PendingCancel {
    /// The cancel.
    pub cancel: Arc<Cancel>,
    /// How far it is.
    pub state: CancelState,
    /// When an answer last told of the operation; the time of the cancel where none has.
    pub last_seen: Moment,
}

impl PendingCancel {
    /// The name of the service.
    pub fn service(&self) -> &str {
        self.cancel.service()
    }
}
