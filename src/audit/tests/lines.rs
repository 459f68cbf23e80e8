//! Lines of any facts: as serde would write them, and the same after they were compact.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::frame::Frame;
use super::super::line_maker::{LONGEST_LINE, LineMaker};
use super::super::*;

/// Texts, numbers and switches that an entry is made of.
#[derive(Clone, Debug)]
struct Facts {
    texts: Vec<Option<String>>,
    numbers: Vec<u32>,
    switches: Vec<bool>,
    ip: u128,
}

impl Facts {
    fn text(&self, at: usize) -> Option<&str> {
        self.texts[at].as_deref()
    }

    fn some(&self, at: usize) -> &str {
        self.text(at).unwrap_or("x")
    }

    fn is(&self, at: usize) -> bool {
        self.switches[at]
    }

    fn micros(&self, at: usize) -> Duration {
        Duration::from_micros(self.numbers[at].into())
    }

    fn ip(&self) -> IpAddr {
        if self.is(0) { IpAddr::V6(self.ip.into()) } else { IpAddr::V4((self.ip as u32).into()) }
    }

    fn rule(&self, at: usize) -> DecidingRule<'_> {
        DecidingRule { role: self.text(at), place: RulePlace::Text(self.some(at + 1)) }
    }

    fn protocol(&self) -> Option<Protocol> {
        let all = [Protocol::Http10, Protocol::Http11, Protocol::H2, Protocol::H2c, Protocol::Grpc];
        self.is(1).then(|| all[self.numbers[0] as usize % 5])
    }

    fn metadata(&self) -> Metadata<'_> {
        match self.numbers[1] % 8 {
            0 => Metadata::Cancel(CancelOutcome {
                outcome: self.some(0),
                request_time: UNIX_EPOCH + self.micros(2),
                observe_time: UNIX_EPOCH + self.micros(3),
                seen_by: self.text(1),
                request_id: self.some(2),
            }),
            1 => Metadata::Lost(LostLines {
                queue_full: self.numbers[2].into(),
                write: self.numbers[3].into(),
                encode: 1,
            }),
            _ => Metadata::Decision(Box::new(Decision {
                decision: self.some(0),
                reason: self.some(1),
                policy_revision: self.some(2),
                rule: self.is(2).then(|| self.rule(3)),
                shadow: self.is(3).then(|| ShadowRuling {
                    decision: self.some(5),
                    reason: self.some(6),
                    policy_revision: self.some(7),
                    rule: self.is(4).then(|| self.rule(8)),
                    detail: self.text(10),
                }),
                overridden_method: self.text(11),
                detail: self.text(12),
                client_certificate: self.is(5).then(|| ClientCertificate {
                    thumbprint: self.some(13),
                    uri: self.text(14),
                    principal: self.text(15),
                    no_caller: self.text(16).map(str::to_owned),
                }),
                confirmation: self
                    .is(6)
                    .then(|| Confirmation { certificate: self.text(17), key: self.text(18) }),
                upstream: self.is(7).then(|| UpstreamCall {
                    name: self.some(19),
                    endpoint: SocketAddr::new(self.ip(), 80),
                    latency: self.micros(4),
                }),
                frontend: self.text(21),
                client_request_id: self.text(20),
                client_traceparent: self.text(21).map(Cow::Borrowed),
            })),
        }
    }

    fn entry(&self) -> LogEntry<'_> {
        let metadata = self.metadata();
        let is_decision = matches!(metadata, Metadata::Decision(_));
        let code = (self.numbers[5] % 17) as u8;
        let code = Status::of_code(code);
        LogEntry {
            time: UNIX_EPOCH + self.micros(6),
            severity: [Severity::Info, Severity::Notice, Severity::Error][self.numbers[7] as usize % 3],
            log: if self.is(8) { Log::Activity } else { Log::DataAccess },
            request_id: "0123456789abcdef0123456789abcdef",
            suffix: if is_decision { "" } else { "-outcome" },
            trace: self.is(9).then(|| TraceIds {
                trace_id: self.ip,
                span_id: self.numbers[8].into(),
                is_sampled: self.is(10),
            }),
            operation: self.is(11).then_some(if self.is(12) { Operation::Last } else { Operation::Named }),
            http_request: (is_decision || self.is(13)).then(|| HttpRequest {
                method: self.text(22),
                status: (self.numbers[9] % 600) as u16,
                response_size: self.is(14).then(|| self.numbers[10].into()),
                latency: self.micros(11),
                protocol: self.protocol(),
            }),
            payload: AuditLog {
                status: match self.text(23) {
                    Some(message) if code.code != 0 => Status { message, ..code },
                    _ => code,
                },
                authentication: AuthenticationInfo {
                    principal_subject: self.text(24),
                    // An address is never empty.
                    principal_email: self.text(25).filter(|email| !email.is_empty()),
                    service_account_key: self.is(15).then(|| (self.some(26), self.some(27))),
                    third_party: self
                        .is(16)
                        .then(|| ThirdParty { issuer: self.some(28), subject: self.text(29) }),
                },
                service_name: self.text(30),
                method_name: self.text(31),
                resource_name: self.text(32),
                authorization: self.is(17).then(|| AuthorizationInfo {
                    permission: self.some(33),
                    granted: self.is(18),
                    permission_type: "DATA_READ",
                    resource_type: self.text(34),
                }),
                request: is_decision.then(|| RequestMetadata {
                    caller_ip: self.is(19).then(|| CallerIp::Address(self.ip())),
                    user_agent: self.text(35),
                    host: self.text(36),
                    path: self.text(36).and(self.text(37)),
                    scheme: self.text(36).and(self.text(38)),
                    // Both forms say it once: where there is a request line, it is the same.
                    protocol: self.protocol(),
                }),
                metadata,
            },
        }
    }
}

fn facts(text: &'static str) -> impl Strategy<Value = Facts> {
    let texts = vec(prop::option::of(text), 39);
    (texts, vec(any::<u32>(), 12), vec(any::<bool>(), 20), any::<u128>())
        .prop_map(|(texts, numbers, switches, ip)| Facts { texts, numbers, switches, ip })
}

/// Puts in what is there.
fn put(object: &mut Map<String, Value>, name: &str, value: impl serde::Serialize) {
    let value = serde_json::to_value(value).unwrap();
    if !value.is_null() {
        object.insert(name.to_owned(), value);
    }
}

fn object(fields: &[(&str, Value)]) -> Value {
    let mut object = Map::new();
    for (name, value) in fields {
        put(&mut object, name, value);
    }
    Value::Object(object)
}

fn time(time: std::time::SystemTime) -> Value {
    format!("{:.6}", jiff::Timestamp::try_from(time).unwrap()).into()
}

fn seconds(duration: Duration) -> Value {
    format!("{}.{:06}s", duration.as_secs(), duration.subsec_micros()).into()
}

fn rule_in_serde(rule: &Option<DecidingRule<'_>>) -> Value {
    rule.as_ref().map_or(Value::Null, |rule| {
        let RulePlace::Text(place) = rule.place else { return Value::Null };
        object(&[("place", json!(place)), ("role", json!(rule.role))])
    })
}

fn metadata_in_serde(metadata: &Metadata<'_>) -> Value {
    match metadata {
        Metadata::Cancel(cancel) => object(&[(
            "cancel",
            object(&[
                ("outcome", json!(cancel.outcome)),
                ("requestTime", time(cancel.request_time)),
                ("observeTime", time(cancel.observe_time)),
                ("seenBy", json!(cancel.seen_by)),
                ("requestId", json!(cancel.request_id)),
            ]),
        )]),
        Metadata::Lost(lost) => json!({
            "lost": lost.total(),
            "lostByReason": { "queue_full": lost.queue_full, "write": lost.write, "encode": lost.encode },
        }),
        Metadata::Decision(decision) => {
            let shadow = decision.shadow.as_ref().map(|shadow| {
                object(&[
                    ("decision", json!(shadow.decision)),
                    ("reason", json!(shadow.reason)),
                    ("policyRevision", json!(shadow.policy_revision)),
                    ("rule", rule_in_serde(&shadow.rule)),
                    ("detail", json!(shadow.detail)),
                ])
            });
            let certificate = decision.client_certificate.as_ref().map(|shown| {
                object(&[
                    ("thumbprint", json!(shown.thumbprint)),
                    ("uri", json!(shown.uri)),
                    ("principal", json!(shown.principal)),
                    ("noCaller", json!(shown.no_caller)),
                ])
            });
            let confirmation = decision.confirmation.as_ref().map(|confirmation| {
                object(&[("x5t#S256", json!(confirmation.certificate)), ("jkt", json!(confirmation.key))])
            });
            let upstream = decision.upstream.as_ref().map(|upstream| {
                json!({
                    "name": upstream.name,
                    "endpoint": upstream.endpoint.to_string(),
                    "latency": seconds(upstream.latency),
                })
            });
            object(&[
                ("decision", json!(decision.decision)),
                ("reason", json!(decision.reason)),
                ("policyRevision", json!(decision.policy_revision)),
                ("rule", rule_in_serde(&decision.rule)),
                ("shadow", json!(shadow)),
                ("overriddenMethod", json!(decision.overridden_method)),
                ("detail", json!(decision.detail)),
                ("clientCertificate", json!(certificate)),
                ("confirmation", json!(confirmation)),
                ("upstream", json!(upstream)),
                ("frontend", json!(decision.frontend)),
                ("clientRequestId", json!(decision.client_request_id)),
                ("clientTraceparent", json!(decision.client_traceparent)),
            ])
        }
    }
}

fn payload_in_serde(payload: &AuditLog<'_>) -> Value {
    let who = &payload.authentication;
    let key = who.service_account_key.map(|(account, key)| {
        format!("//iam.googleapis.com/projects/-/serviceAccounts/{account}/keys/{key}")
    });
    let third = who
        .third_party
        .as_ref()
        .map(|third| object(&[("issuer", json!(third.issuer)), ("subject", json!(third.subject))]));
    let authorization = payload.authorization.as_ref().map(|asked| {
        let attributes = object(&[
            ("service", json!(payload.service_name.unwrap_or_default())),
            ("name", json!(payload.resource_name)),
            ("type", json!(asked.resource_type)),
        ]);
        json!([{
            "resource": payload.resource_name.unwrap_or_default(),
            "permission": asked.permission,
            "granted": asked.granted,
            "permissionType": asked.permission_type,
            "resourceAttributes": attributes,
        }])
    });
    let request = payload.request.as_ref().map(|request| {
        let ip = request.caller_ip.map(|ip| match ip {
            CallerIp::Address(ip) => ip.to_string(),
            CallerIp::Text(text) => text.to_owned(),
        });
        let attributes = match request.host {
            None => json!({}),
            Some(host) => object(&[
                ("host", json!(host)),
                ("path", json!(request.path)),
                ("scheme", json!(request.scheme)),
                ("protocol", json!(request.protocol.map(Protocol::as_str))),
            ]),
        };
        object(&[
            ("callerIp", json!(ip)),
            ("callerSuppliedUserAgent", json!(request.user_agent)),
            ("requestAttributes", attributes),
        ])
    });
    let status = match payload.status.code {
        0 => json!({}),
        code => json!({ "code": code, "message": payload.status.message }),
    };
    object(&[
        ("@type", json!("type.googleapis.com/google.cloud.audit.AuditLog")),
        ("status", status),
        (
            "authenticationInfo",
            object(&[
                ("principalSubject", json!(who.principal_subject)),
                ("principalEmail", json!(who.principal_email)),
                ("serviceAccountKeyName", json!(key)),
                ("thirdPartyPrincipal", json!(third)),
            ]),
        ),
        ("serviceName", json!(payload.service_name)),
        ("methodName", json!(payload.method_name)),
        ("resourceName", json!(payload.resource_name)),
        ("authorizationInfo", json!(authorization)),
        ("requestMetadata", json!(request)),
        ("metadata", metadata_in_serde(&payload.metadata)),
    ])
}

/// The line as a tree of JSON values: how it was made before it was written by hand.
fn in_serde(entry: &LogEntry<'_>) -> String {
    let payload = &entry.payload;
    let log = match entry.log {
        Log::Activity => "activity",
        Log::DataAccess => "data_access",
    };
    let operation = entry.operation.zip(payload.resource_name).zip(payload.service_name).map(
        |((operation, name), service)| {
            let last = (operation == Operation::Last).then_some(true);
            object(&[("id", json!(name)), ("producer", json!(service)), ("last", json!(last))])
        },
    );
    let http = entry.http_request.as_ref().map(|request| {
        object(&[
            ("requestMethod", json!(request.method)),
            ("status", json!(request.status)),
            ("responseSize", json!(request.response_size.map(|size| size.to_string()))),
            ("latency", seconds(request.latency)),
            ("protocol", json!(request.protocol.map(Protocol::version))),
        ])
    });
    let labels = object(&[
        ("project_id", json!("a\"b")),
        ("service", json!(payload.service_name)),
        ("method", json!(payload.method_name)),
    ]);
    let trace = entry.trace;
    object(&[
        ("timestamp", time(entry.time)),
        ("severity", json!(entry.severity.as_str())),
        ("logName", json!(format!("projects/a\"b/logs/audit%2F{log}"))),
        ("resource", json!({ "type": "audited_resource", "labels": labels })),
        ("labels", json!({ "opgate/instance": "gate-1" })),
        ("insertId", json!(format!("{}{}", entry.request_id, entry.suffix))),
        ("trace", json!(trace.map(|trace| format!("projects/a\"b/traces/{:032x}", trace.trace_id)))),
        ("spanId", json!(trace.map(|trace| format!("{:016x}", trace.span_id)))),
        ("traceSampled", json!(trace.filter(|trace| trace.is_sampled).map(|_| true))),
        ("operation", json!(operation)),
        ("httpRequest", json!(http)),
        ("protoPayload", payload_in_serde(payload)),
    ])
    .to_string()
}

fn both_forms(entry: &LogEntry<'_>) -> (String, String) {
    let frame = Frame::new("projects/a\"b", "audit", "gate-1");
    let (mut full, mut compact) = (String::new(), String::new());
    LineMaker::write_full(&frame, entry, &mut full);
    LineMaker::write_compact(&frame, entry, &mut compact);
    (full, compact)
}

proptest! {
    #[test]
    fn a_line_is_written_by_hand_as_serde_writes_it(
        facts in facts("[\\x00-\\x7fé…]{0,12}|\\PC{0,12}|user:[a-z]{1,5}@example.com")
    ) {
        let entry = facts.entry();
        let (full, _) = both_forms(&entry);
        prop_assert_eq!(full, in_serde(&entry));
    }

    #[test]
    fn an_observer_is_told_what_serde_reads_in_the_line(
        facts in facts("[\\x00-\\x7fé…]{0,12}|ALLOWED|DENIED|x{0,9000}")
    ) {
        let entry = facts.entry();
        let frame = Frame::new("projects/a", "audit", "gate-1");
        let mut full = String::new();
        let places = LineMaker::write_full(&frame, &entry, &mut full);
        let seen = SeenLine::new(full.into(), places, &entry);
        let line: Value = serde_json::from_str(seen.text()).unwrap();
        let payload = &line["protoPayload"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        prop_assert_eq!(Some(seen.id().into_owned()), text(&line["insertId"]));
        let principal = &payload["authenticationInfo"]["principalSubject"];
        prop_assert_eq!(seen.principal().map(Cow::into_owned), text(principal));
        prop_assert_eq!(seen.method().map(Cow::into_owned), text(&payload["methodName"]));
        let reason = text(&payload["metadata"]["reason"]).unwrap_or_default();
        prop_assert_eq!(seen.reason().into_owned(), reason);
        prop_assert_eq!(u64::from(seen.status()), line["httpRequest"]["status"].as_u64().unwrap_or(0));
        let decision = match payload["metadata"]["decision"].as_str() {
            Some("ALLOWED") => SeenDecision::Allowed,
            Some("DENIED") => SeenDecision::Denied,
            _ => SeenDecision::None,
        };
        prop_assert_eq!(seen.decision(), decision);
    }

    #[test]
    fn a_compact_line_has_every_fact_of_the_full_one(
        facts in facts("[\\x00-\\x7fé…]{0,12}|[ab]{1,2}|user:[a-z]{1,5}@example.com")
    ) {
        let (full, compact) = both_forms(&facts.entry());
        prop_assert_eq!(&*full_form(&compact).unwrap(), &full);
        prop_assert_eq!(&*full_form(&full).unwrap(), &full);
    }

    #[test]
    fn no_line_is_longer_than_12_kib_whatever_clients_send(
        facts in facts("[\\x00-\\x1f]{0,4000}|x{0,9000}|\"{0,4000}")
    ) {
        let (full, compact) = both_forms(&facts.entry());
        for line in [full, compact] {
            prop_assert!(line.len() <= LONGEST_LINE, "{} bytes", line.len());
            prop_assert!(serde_json::from_str::<Value>(&line).is_ok());
        }
    }
}
