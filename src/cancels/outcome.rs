//! What came of a cancel: the answer to it, how far it is, and how it ended.

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
