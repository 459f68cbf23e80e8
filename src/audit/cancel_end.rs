//! The second line of a cancel: what became of the operation, once that is known.

use std::time::SystemTime;

use super::entry::{
    AuditLog, AuthenticationInfo, CancelOutcome, Log, LogEntry, Metadata, Operation, Severity, Status,
};

/// What became of a cancel that was let through.
#[derive(Clone, Copy, Debug)]
pub struct CancelEnd<'e> {
    /// The id of the cancel: `insertId` of its own line. This line has the same, with `-outcome`.
    pub request_id: &'e str,
    /// The service that was asked: `cloudaicompanion.googleapis.com`.
    pub service: &'e str,
    /// The full name of the method of the cancel.
    pub method: &'e str,
    /// The operation's name, as the cancel's path has it.
    pub operation: &'e str,
    /// The caller who asked to cancel, in IAM's words. `None` where the method takes no credential.
    pub principal: Option<&'e str>,
    /// Their email address, where they have one.
    pub email: Option<&'e str>,
    /// What became of it: `cancelled`, `succeeded`, `failed`, `deleted`, `unobserved` or `evicted`.
    pub outcome: &'e str,
    /// When the cancel came.
    pub request_time: SystemTime,
    /// When the end was seen, or the gate stopped to look for it.
    pub observe_time: SystemTime,
    /// What showed the end: the name of the method whose answer did. `None` where nothing did.
    pub seen_by: Option<&'e str>,
}

impl CancelEnd<'_> {
    /// The line.
    pub(super) fn log_entry(&self) -> LogEntry<'_> {
        LogEntry {
            time: self.observe_time,
            severity: Severity::Notice,
            log: Log::Activity,
            request_id: self.request_id,
            suffix: "-outcome",
            trace: None,
            operation: Some(Operation::Last),
            http_request: None,
            payload: AuditLog {
                status: Status::default(),
                authentication: AuthenticationInfo {
                    principal_subject: self.principal,
                    principal_email: self.email,
                    ..AuthenticationInfo::default()
                },
                service_name: Some(self.service),
                method_name: Some(self.method),
                resource_name: Some(self.operation),
                authorization: None,
                request: None,
                metadata: Metadata::Cancel(CancelOutcome {
                    outcome: self.outcome,
                    request_time: self.request_time,
                    observe_time: self.observe_time,
                    seen_by: self.seen_by,
                    request_id: self.request_id,
                }),
            },
        }
    }
}
