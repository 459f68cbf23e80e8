//! `auditConfigs` of an allow policy: which calls leave a line in the audit log (google/iam/v1/policy.proto, `AuditConfig`).

use super::member::Member;
use crate::catalog::PermissionType;
use crate::diagnostic::Report;
use crate::document::{Node, Spelling};

/// The value of `service` that stands for all.
const ALL_SERVICES: &str = "allServices";

/// What a policy says of the lines of one kind of access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct AuditConfig {
    /// The service; `None` for all of them.
    pub(in crate::policy) service: Option<Box<str>>,
    /// The kind of access that leaves lines. Writes of metadata always do.
    pub(in crate::policy) access: PermissionType,
    /// The members whose calls do not.
    pub(in crate::policy) exempted: Vec<Member>,
    /// Whether exemptions in the policies of what lies below do not count.
    pub(in crate::policy) ignores_child_exemptions: bool,
}

/// Reads `auditConfigs`, one entry for each service and kind of access.
pub(in crate::policy) fn audit_configs(node: &Node, report: &mut Report) -> Vec<AuditConfig> {
    let mut configs = Vec::new();
    for config in node.list(report).unwrap_or_default() {
        let Some(mut fields) = config.fields("an audit config", Spelling::Proto, report) else { continue };
        let service = fields.required_string("service", report);
        let logs = fields.required("auditLogConfigs", report);
        // An older form of the message has exemptions for all kinds of access.
        let exempted = fields.optional("exemptedMembers");
        fields.finish(report);
        let exempted = exempted.map(|node| members(node, report)).unwrap_or_default();
        for log in logs.and_then(|node| node.list(report)).unwrap_or_default() {
            let Some(read) = log_config(log, service, report) else { continue };
            let all = read.exempted.iter().chain(&exempted).cloned().collect();
            configs.push(AuditConfig { exempted: all, ..read });
        }
    }
    configs
}

fn log_config(node: &Node, service: Option<&str>, report: &mut Report) -> Option<AuditConfig> {
    let mut fields = node.fields("an audit log config", Spelling::Proto, report)?;
    let kind = fields.required("logType", report);
    let exempted = fields.optional("exemptedMembers");
    // Compute Engine's form of the message has it.
    let ignores = fields.optional("ignoreChildExemptions");
    fields.finish(report);
    let exempted = exempted.map(|node| members(node, report)).unwrap_or_default();
    let ignores_child_exemptions = ignores.and_then(|node| node.boolean(report)).unwrap_or(false);
    let kind = kind?;
    let access = match kind.string(report)? {
        "ADMIN_READ" => PermissionType::AdminRead,
        "DATA_READ" => PermissionType::DataRead,
        "DATA_WRITE" => PermissionType::DataWrite,
        other => {
            report
                .error(&kind.span, format!("`{other}` is not a log type"))
                .help("log types are ADMIN_READ, DATA_READ and DATA_WRITE");
            return None;
        }
    };
    let service = service?;
    let service = (service != ALL_SERVICES).then(|| Box::from(service));
    Some(AuditConfig { service, access, exempted, ignores_child_exemptions })
}

/// The exempted members. One that no caller can be exempts none.
fn members(node: &Node, report: &mut Report) -> Vec<Member> {
    let mut members = Vec::new();
    for (text, item) in node.strings(report) {
        match Member::parse(text) {
            Ok(member) => members.push(member),
            Err(error) => {
                report
                    .warning(&item.span, format!("this exempts no caller: {}", error.message))
                    .help(error.help.unwrap_or_else(|| "name a member as bindings do".to_owned()));
            }
        }
    }
    members
}
