//! From a compact line to the full form.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::compact::{email_of, kind};
use super::entry::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, CallerIp, CancelOutcome, ClientCertificate,
    Confirmation, DecidingRule, Decision, HttpRequest, Log, LogEntry, LostLines, Metadata, Operation,
    Protocol, RequestMetadata, RulePlace, Severity, ShadowRuling, Status, ThirdParty, TraceIds, UpstreamCall,
};
use super::frame::Frame;
use super::full;
use super::json::{Caps, JsonWriter};

/// The full form of a line. A line in full form, and what is not an audit line, comes back as it is.
///
/// # Errors
/// What looks like a compact line and is not one.
pub fn full_form(line: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    if !line.trim_start().starts_with("{\"t\":") {
        return Ok(Cow::Borrowed(line));
    }
    let compact: CompactLine = serde_json::from_str(line)?;
    let path = compact.path();
    let entry = compact.entry(path.as_deref())?;
    let frame = Frame::new(&compact.p, &compact.l, &compact.instance);
    let mut full = String::new();
    full::write(&mut JsonWriter::new(&mut full, Caps::NONE), &frame, &entry);
    Ok(Cow::Owned(full))
}

type Text = Box<str>;

/// The keys of a compact line (docs/audit.md).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompactLine {
    t: Text,
    k: Text,
    p: Text,
    l: Text,
    #[serde(rename = "in")]
    instance: Text,
    id: Text,
    tr: Option<(Text, Text, bool)>,
    o: Option<u8>,
    h: Option<(Option<Text>, u16, Option<u64>, u64)>,
    pr: Option<Text>,
    c: Option<u8>,
    cm: Option<Text>,
    w: Option<Text>,
    e: Option<Text>,
    key: Option<(Text, Text)>,
    tp: Option<Vec<Text>>,
    s: Option<Text>,
    m: Option<Text>,
    n: Option<Text>,
    az: Option<Authorization>,
    ip: Option<Text>,
    ua: Option<Text>,
    ho: Option<Text>,
    pa: Option<WrittenPath>,
    sc: Option<Text>,
    d: Option<Text>,
    r: Option<Text>,
    rv: Option<Text>,
    ru: Option<Vec<Text>>,
    sh: Option<Shadow>,
    om: Option<Text>,
    de: Option<Text>,
    cc: Option<Certificate>,
    cf: Option<Key>,
    u: Option<(Text, SocketAddr, u64)>,
    fe: Option<Text>,
    cr: Option<Text>,
    ct: Option<Text>,
    cancel: Option<Cancel>,
    #[serde(rename = "lost")]
    _lost: Option<u64>,
    #[serde(rename = "lostByReason")]
    lost: Option<Lost>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Authorization {
    Typed(Text, bool, Text, Text),
    Untyped(Text, bool, Text),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenPath {
    Whole(Text),
    /// What stands around the resource's name.
    Around(Text, Text),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Shadow {
    decision: Text,
    reason: Text,
    policy_revision: Text,
    rule: Option<Rule>,
    detail: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    place: Text,
    role: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Certificate {
    thumbprint: Text,
    uri: Option<Text>,
    principal: Option<Text>,
    no_caller: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(rename = "x5t#S256")]
    certificate: Option<Text>,
    jkt: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cancel {
    outcome: Text,
    request_time: Text,
    observe_time: Text,
    seen_by: Option<Text>,
    request_id: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lost {
    queue_full: u64,
    write: u64,
    encode: u64,
}

fn wrong(what: &str) -> serde_json::Error {
    serde::de::Error::custom(what)
}

fn time(text: &str) -> Result<SystemTime, serde_json::Error> {
    let timestamp: jiff::Timestamp = text.parse().map_err(|_| wrong("not a time"))?;
    Ok(timestamp.into())
}

impl CompactLine {
    fn entry<'l>(&'l self, path: Option<&'l str>) -> Result<LogEntry<'l>, serde_json::Error> {
        let kinds = [Log::Activity, Log::DataAccess].into_iter().flat_map(|log| {
            [Severity::Info, Severity::Notice, Severity::Error].map(|severity| (log, severity))
        });
        let found = kinds.into_iter().find(|(log, severity)| kind(*log, *severity) == &*self.k);
        let (log, severity) = found.ok_or_else(|| wrong("`k` is not a kind of line"))?;
        let protocol = self.pr.as_deref().and_then(Protocol::parse);
        Ok(LogEntry {
            time: time(&self.t)?,
            severity,
            log,
            request_id: &self.id,
            suffix: "",
            trace: self.trace()?,
            operation: match self.o {
                None => None,
                Some(1) => Some(Operation::Named),
                Some(_) => Some(Operation::Last),
            },
            http_request: self.h.as_ref().map(|(method, status, size, latency)| HttpRequest {
                method: method.as_deref(),
                status: *status,
                response_size: *size,
                latency: Duration::from_micros(*latency),
                protocol,
            }),
            payload: self.payload(path, protocol)?,
        })
    }

    fn trace(&self) -> Result<Option<TraceIds>, serde_json::Error> {
        let Some((trace_id, span_id, is_sampled)) = &self.tr else { return Ok(None) };
        let wrong = |_| wrong("`tr` holds no ids");
        Ok(Some(TraceIds {
            trace_id: u128::from_str_radix(trace_id, 16).map_err(wrong)?,
            span_id: u64::from_str_radix(span_id, 16).map_err(wrong)?,
            is_sampled: *is_sampled,
        }))
    }

    fn payload<'l>(
        &'l self,
        path: Option<&'l str>,
        protocol: Option<Protocol>,
    ) -> Result<AuditLog<'l>, serde_json::Error> {
        let code = Status::of_code(self.c.unwrap_or_default());
        Ok(AuditLog {
            status: Status { message: self.cm.as_deref().unwrap_or(code.message), ..code },
            authentication: self.authentication(),
            service_name: self.s.as_deref(),
            method_name: self.m.as_deref(),
            resource_name: self.n.as_deref(),
            authorization: self.az.as_ref().map(|asked| {
                let (permission, granted, permission_type, resource_type) = match asked {
                    Authorization::Typed(permission, granted, kind, of) => {
                        (permission, granted, kind, Some(&**of))
                    }
                    Authorization::Untyped(permission, granted, kind) => (permission, granted, kind, None),
                };
                AuthorizationInfo { permission, granted: *granted, permission_type, resource_type }
            }),
            // Decisions are about requests, and other lines are not.
            request: self.d.as_ref().map(|_| RequestMetadata {
                caller_ip: self.ip.as_deref().map(CallerIp::Text),
                user_agent: self.ua.as_deref(),
                host: self.ho.as_deref(),
                path,
                scheme: self.sc.as_deref(),
                protocol,
            }),
            metadata: self.metadata()?,
        })
    }

    fn authentication(&self) -> AuthenticationInfo<'_> {
        let subject = self.w.as_deref();
        AuthenticationInfo {
            principal_subject: subject,
            principal_email: match self.e.as_deref() {
                Some("") => None,
                Some(email) => Some(email),
                None => subject.and_then(email_of),
            },
            service_account_key: self.key.as_ref().map(|(account, key)| (&**account, &**key)),
            third_party: self.tp.as_deref().and_then(|parts| {
                let (issuer, subject) = parts.split_first()?;
                Some(ThirdParty { issuer, subject: subject.first().map(|subject| &**subject) })
            }),
        }
    }

    fn path(&self) -> Option<Cow<'_, str>> {
        self.pa.as_ref().map(|path| match path {
            WrittenPath::Whole(path) => Cow::Borrowed(&**path),
            WrittenPath::Around(before, behind) => {
                Cow::Owned([before, self.n.as_deref().unwrap_or_default(), behind].concat())
            }
        })
    }

    fn metadata(&self) -> Result<Metadata<'_>, serde_json::Error> {
        if let Some(cancel) = &self.cancel {
            return Ok(Metadata::Cancel(CancelOutcome {
                outcome: &cancel.outcome,
                request_time: time(&cancel.request_time)?,
                observe_time: time(&cancel.observe_time)?,
                seen_by: cancel.seen_by.as_deref(),
                request_id: &cancel.request_id,
            }));
        }
        if let Some(Lost { queue_full, write, encode }) = self.lost {
            return Ok(Metadata::Lost(LostLines { queue_full, write, encode }));
        }
        let decision = self.d.as_deref().ok_or_else(|| wrong("`d`, `cancel` and `lost` are missing"))?;
        Ok(Metadata::Decision(Box::new(Decision {
            decision,
            reason: self.r.as_deref().unwrap_or(decision),
            policy_revision: self.rv.as_deref().unwrap_or_default(),
            rule: self.ru.as_deref().and_then(rule_of),
            shadow: self.sh.as_ref().map(Shadow::ruling),
            overridden_method: self.om.as_deref(),
            detail: self.de.as_deref(),
            client_certificate: self.cc.as_ref().map(|shown| ClientCertificate {
                thumbprint: &shown.thumbprint,
                uri: shown.uri.as_deref(),
                principal: shown.principal.as_deref(),
                no_caller: shown.no_caller.as_deref().map(str::to_owned),
            }),
            confirmation: self
                .cf
                .as_ref()
                .map(|key| Confirmation { certificate: key.certificate.as_deref(), key: key.jkt.as_deref() }),
            upstream: self.u.as_ref().map(|(name, endpoint, latency)| UpstreamCall {
                name,
                endpoint: *endpoint,
                latency: Duration::from_micros(*latency),
            }),
            frontend: self.fe.as_deref(),
            client_request_id: self.cr.as_deref(),
            client_traceparent: self.ct.as_deref().map(Cow::Borrowed),
        })))
    }
}

fn rule_of(parts: &[Text]) -> Option<DecidingRule<'_>> {
    let (place, role) = parts.split_first()?;
    Some(DecidingRule { role: role.first().map(|role| &**role), place: RulePlace::Text(place) })
}

impl Shadow {
    fn ruling(&self) -> ShadowRuling<'_> {
        ShadowRuling {
            decision: &self.decision,
            reason: &self.reason,
            policy_revision: &self.policy_revision,
            rule: self
                .rule
                .as_ref()
                .map(|rule| DecidingRule { role: rule.role.as_deref(), place: RulePlace::Text(&rule.place) }),
            detail: self.detail.as_deref(),
        }
    }
}
