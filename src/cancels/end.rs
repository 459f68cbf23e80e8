//! A cancel, its answer, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use super::Moment;
use super::instruments::ServiceInstruments;
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

/// What came of forwarding a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    /// 2xx: the backend has taken it.
    Accepted,
    /// The backend may have it: no answer came, or one that stands for none (502, 504).
    Uncertain,
    /// 501: the service does not cancel.
    Unimplemented,
    /// 404: there is no such operation.
    NotFound,
    /// Anything else: it was not taken.
    Failed,
}

impl CancelAnswer {
    /// All of them, as the metric has them.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::Uncertain, Self::Unimplemented, Self::NotFound, Self::Failed];

    /// Of the status that a backend answered with.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Accepted,
            502 | 504 => Self::Uncertain,
            501 => Self::Unimplemented,
            404 => Self::NotFound,
            _ => Self::Failed,
        }
    }

    /// The `answer` of `opgate_cancels_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Uncertain => "uncertain",
            Self::Unimplemented => "unimplemented",
            Self::NotFound => "not_found",
            Self::Failed => "failed",
        }
    }
}

/// What became of a cancelled operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelOutcome {
    /// It ended with `error.code` 1.
    Cancelled,
    /// It ended with another error.
    Failed,
    /// It ended as if it had not been cancelled: the cancel came too late, or is not supported.
    Succeeded,
    /// It is gone.
    Deleted,
    /// No answer told of it for an hour, or of its end for a day.
    Unobserved,
    /// There was no room to remember it.
    Evicted,
}

impl CancelOutcome {
    /// All of them, as the metric has them.
    pub const ALL: [Self; 6] =
        [Self::Cancelled, Self::Failed, Self::Succeeded, Self::Deleted, Self::Unobserved, Self::Evicted];

    /// The `outcome` of `opgate_cancel_outcomes_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
            Self::Deleted => "deleted",
            Self::Unobserved => "unobserved",
            Self::Evicted => "evicted",
        }
    }

    /// Whether the end was seen: the gate did not stop watching.
    pub fn is_observed(self) -> bool {
        !matches!(self, Self::Unobserved | Self::Evicted)
    }

    /// Whether the operation was seen `done`.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed | Self::Succeeded)
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

/// How far a watched cancel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelState {
    /// It is on its way.
    Sent,
    /// The backend has taken it.
    Accepted,
    /// The backend may have taken it.
    Uncertain,
}

impl CancelState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Uncertain => "uncertain",
        }
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
