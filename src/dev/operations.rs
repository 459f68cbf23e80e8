//! Long-running operations, as google.longrunning.Operations describes them, for three services.
//!
//! An operation is a few facts; what it looks like is computed from them and the time:
//!
//! ```text
//!             cancel                 300 ms
//! running ────────────► cancelling ─────────► done, error.code 1
//!    │                       ├──────────────► done, response      where it was past the point of no return
//!    │                       ├──────────────► done, error.code 13 where it fails over the cancel
//!    │                       └──────────────► gone                where nothing is kept of what is cancelled
//!    └───────────────────────────────────────► done, response      when its time is up
//! ```
//!
//! Nothing runs in the background, so nothing can be observed half-way. Times are `SystemTime`, passed in.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

/// From an accepted cancel to the end of the operation.
const CANCEL_TAKES: Duration = Duration::from_millis(300);
/// From a cancel that came too late to the end of the operation.
const FINISH_TAKES: Duration = Duration::from_millis(600);
/// google.rpc.Code of an operation that was cancelled, and of one that failed over it.
const CANCELLED: u32 = 1;
const INTERNAL: u32 = 13;
/// The page of a client that asks for none, and the largest one.
const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 1000;

/// The services whose operations are kept. They differ in the shape of names and in what they implement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoService {
    /// `/v1/projects/*/locations/*/operations/*`
    Companion,
    /// `/v1/projects/*/regions/*/operations/*`
    Dataproc,
    /// `/v3/projects/*/operations/*`
    Translation,
}

impl DemoService {
    /// The `@type` of its operations' metadata.
    fn metadata_type(self) -> &'static str {
        match self {
            Self::Companion => "type.googleapis.com/google.cloud.cloudaicompanion.v1.OperationMetadata",
            Self::Dataproc => "type.googleapis.com/google.cloud.dataproc.v1.JobMetadata",
            Self::Translation => "type.googleapis.com/google.cloud.translation.v3.BatchTranslateMetadata",
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
struct Operation {
    service: DemoService,
    created: SystemTime,
    takes: Duration,
    effect: CancelEffect,
    cancelled: Option<SystemTime>,
}

/// What a cancel does to an operation that it does not come too late for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelEffect {
    /// It ends with `error.code` 1.
    Cancels,
    /// It ends with a response: it was past the point of no return.
    Finishes,
    /// It ends with another error.
    Fails,
    /// It is gone.
    Deletes,
}

impl CancelEffect {
    /// From an accepted cancel to the end of the operation.
    fn takes(self) -> Duration {
        if self == Self::Finishes { FINISH_TAKES } else { CANCEL_TAKES }
    }
}

impl Operation {
    /// When and how it ends, as things stand.
    fn end(&self) -> (SystemTime, CancelEffect) {
        let finishes = self.created + self.takes;
        match self.cancelled.map(|at| at + self.effect.takes()) {
            Some(ends) if ends < finishes => (ends, self.effect),
            _ => (finishes, CancelEffect::Finishes),
        }
    }

    fn is_gone(&self, now: SystemTime) -> bool {
        let (end, ending) = self.end();
        ending == CancelEffect::Deletes && end <= now
    }

    fn is_done(&self, now: SystemTime) -> bool {
        self.end().0 <= now
    }

    /// How much of the work is done at a time: at most 99 until all of it is.
    fn percent(&self, at: SystemTime) -> u128 {
        let elapsed = at.duration_since(self.created).unwrap_or_default();
        (elapsed.as_millis() * 100 / self.takes.as_millis().max(1)).min(99)
    }

    /// The google.longrunning.Operation.
    fn to_json(&self, name: &str, now: SystemTime) -> Value {
        let (end, ending) = self.end();
        let mut metadata = json!({
            "@type": self.service.metadata_type(),
            "createTime": timestamp(self.created),
            "requestedCancellation": self.cancelled.is_some(),
        });
        let (percent, result) = match ending {
            _ if now < end => (self.percent(now), None),
            CancelEffect::Finishes => {
                (100, Some(("response", json!({ "@type": "type.googleapis.com/google.protobuf.Empty" }))))
            }
            CancelEffect::Cancels | CancelEffect::Deletes => (
                self.percent(end),
                Some(("error", json!({ "code": CANCELLED, "message": "The operation was cancelled." }))),
            ),
            CancelEffect::Fails => (
                self.percent(end),
                Some(("error", json!({ "code": INTERNAL, "message": "The operation broke off." }))),
            ),
        };
        let done = result.is_some();
        if let Some(members) = metadata.as_object_mut() {
            members.insert("progressPercent".to_owned(), json!(percent));
            if done {
                members.insert("endTime".to_owned(), json!(timestamp(end)));
            }
        }
        let mut operation = json!({ "name": name, "metadata": metadata, "done": done });
        if let (Some((member, value)), Some(members)) = (result, operation.as_object_mut()) {
            members.insert(member.to_owned(), value);
        }
        operation
    }
}

/// Why the backend refuses: a google.rpc.Status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OperationError {
    /// No such operation, or no such method.
    NotFound(String),
    /// A parameter that cannot be used.
    InvalidArgument(String),
    /// The service does not have this method.
    Unimplemented(String),
}

impl OperationError {
    /// The HTTP status (google/rpc/code.proto).
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::InvalidArgument(_) => 400,
            Self::Unimplemented(_) => 501,
        }
    }

    /// The error as APIs write it (AIP-193).
    pub(super) fn to_json(&self) -> Value {
        let (code, message) = match self {
            Self::NotFound(message) => ("NOT_FOUND", message),
            Self::InvalidArgument(message) => ("INVALID_ARGUMENT", message),
            Self::Unimplemented(message) => ("UNIMPLEMENTED", message),
        };
        json!({ "error": { "code": self.status(), "message": message, "status": code } })
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListParameters {
    /// At most this many; 0 leaves it to us.
    page_size: i32,
    /// Where the last page ended.
    page_token: String,
    /// `done=true` or `done=false`.
    filter: String,
}

/// Every operation, by name.
#[derive(Debug, Default)]
pub(super) struct Operations {
    by_name: BTreeMap<String, Operation>,
    /// How many were deleted after a cancel.
    deleted: usize,
}

impl Operations {
    /// The operations that the demo begins with, in the projects `demo` and `other`. Those that end in `-1` are for the
    /// walk, those that end in `-2` are left to try by hand.
    pub(super) fn seeded(now: SystemTime) -> Self {
        const LONG: Duration = Duration::from_secs(3600);
        const SHORT: Duration = Duration::from_secs(5);
        let mut operations = Self::default();
        let mut add = |service, name: String, takes, effect| {
            let operation = Operation { service, created: now, takes, effect, cancelled: None };
            operations.by_name.insert(name, operation);
        };
        for project in ["demo", "other"] {
            for (id, takes, effect) in [
                ("train-1", LONG, CancelEffect::Cancels),
                ("train-2", LONG, CancelEffect::Cancels),
                ("stubborn-1", LONG, CancelEffect::Finishes),
                ("stubborn-2", LONG, CancelEffect::Finishes),
                ("index-1", SHORT, CancelEffect::Cancels),
            ] {
                let name = format!("projects/{project}/locations/us-central1/operations/{id}");
                add(DemoService::Companion, name, takes, effect);
            }
            for (id, effect) in [("flaky-1", CancelEffect::Fails), ("fleeting-1", CancelEffect::Deletes)] {
                let name = format!("projects/{project}/locations/europe-west1/operations/{id}");
                add(DemoService::Companion, name, LONG, effect);
            }
            for id in ["job-1", "job-2"] {
                let name = format!("projects/{project}/regions/us-central1/operations/{id}");
                add(DemoService::Dataproc, name, LONG, CancelEffect::Cancels);
            }
            for id in ["batch-1", "batch-2"] {
                let name = format!("projects/{project}/operations/{id}");
                add(DemoService::Translation, name, LONG, CancelEffect::Cancels);
            }
        }
        operations
    }

    /// Adds one that runs for an hour, with a cancel's effect on it.
    pub(super) fn add(&mut self, service: DemoService, name: &str, effect: CancelEffect, now: SystemTime) {
        let takes = Duration::from_secs(3600);
        let operation = Operation { service, created: now, takes, effect, cancelled: None };
        self.by_name.insert(name.to_owned(), operation);
    }

    /// How the operations ended for which a cancel was accepted, with how many did. Deleted ones are gone.
    pub(super) fn cancel_ends(&self, now: SystemTime) -> BTreeMap<&'static str, usize> {
        let mut ends = BTreeMap::from([("deleted", self.deleted)]);
        for operation in self.by_name.values().filter(|operation| operation.cancelled.is_some()) {
            let (end, ending) = operation.end();
            let word = match ending {
                _ if end > now => "running",
                CancelEffect::Cancels => "cancelled",
                CancelEffect::Finishes => "succeeded",
                CancelEffect::Fails => "failed",
                CancelEffect::Deletes => "deleted",
            };
            *ends.entry(word).or_default() += 1;
        }
        ends
    }

    fn find(&self, name: &str, now: SystemTime) -> Result<&Operation, OperationError> {
        let found = self.by_name.get(name).filter(|operation| !operation.is_gone(now));
        found.ok_or_else(|| not_found(name))
    }

    /// GetOperation.
    pub(super) fn get(&self, name: &str, now: SystemTime) -> Result<Value, OperationError> {
        Ok(self.find(name, now)?.to_json(name, now))
    }

    /// When it ends, as things stand: a cancel can bring it forward.
    pub(super) fn end(&self, name: &str, now: SystemTime) -> Result<SystemTime, OperationError> {
        Ok(self.find(name, now)?.end().0)
    }

    /// ListOperations of a parent, `projects/demo/locations/us-central1`.
    pub(super) fn list(
        &self,
        parent: &str,
        page: &ListParameters,
        now: SystemTime,
    ) -> Result<Value, OperationError> {
        let prefix = format!("{parent}/operations/");
        let size = match usize::try_from(page.page_size) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(MAX_PAGE),
            Err(_) => {
                return Err(OperationError::InvalidArgument("page_size must not be negative.".to_owned()));
            }
        };
        let wanted = match page.filter.replace(' ', "").as_str() {
            "" => None,
            "done=true" => Some(true),
            "done=false" => Some(false),
            _ => {
                let message = "filter is not supported; done=true and done=false are.";
                return Err(OperationError::InvalidArgument(message.to_owned()));
            }
        };
        let from = match page.page_token.as_str() {
            "" => Bound::Included(prefix.clone()),
            token => Bound::Excluded(last_of_page(token, &prefix)?),
        };
        let mut matching = self
            .by_name
            .range((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(&prefix))
            .filter(|(_, operation)| !operation.is_gone(now))
            .filter(|(_, operation)| wanted.is_none_or(|done| operation.is_done(now) == done))
            .peekable();
        let listed: Vec<_> = matching.by_ref().take(size).collect();
        let operations: Vec<Value> =
            listed.iter().map(|(name, operation)| operation.to_json(name, now)).collect();
        Ok(match (listed.last(), matching.peek()) {
            (Some((last, _)), Some(_)) => {
                json!({ "operations": operations, "nextPageToken": URL_SAFE_NO_PAD.encode(last) })
            }
            _ => json!({ "operations": operations }),
        })
    }

    /// DeleteOperation: forgets it. It does not cancel.
    pub(super) fn delete(&mut self, name: &str, now: SystemTime) -> Result<(), OperationError> {
        self.find(name, now)?;
        let deleted = self.by_name.remove(name);
        self.deleted += usize::from(deleted.is_some_and(|operation| operation.cancelled.is_some()));
        Ok(())
    }

    /// CancelOperation: best effort, and returns before the operation ends. A second cancel changes nothing, and a
    /// late one is not an error.
    pub(super) fn cancel(&mut self, name: &str, now: SystemTime) -> Result<(), OperationError> {
        self.find(name, now)?;
        let operation = self.by_name.get_mut(name).ok_or_else(|| not_found(name))?;
        if !operation.is_done(now) && operation.cancelled.is_none() {
            operation.cancelled = Some(now);
        }
        Ok(())
    }
}

fn not_found(name: &str) -> OperationError {
    OperationError::NotFound(format!("Operation '{name}' was not found."))
}

fn last_of_page(token: &str, prefix: &str) -> Result<String, OperationError> {
    let name = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.filter(|name| name.starts_with(prefix))
        .ok_or_else(|| OperationError::InvalidArgument("page_token is not one of this list.".to_owned()))
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |timestamp| format!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests;
