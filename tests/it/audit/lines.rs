//! What a line says, and which requests leave one.

use serde_json::{Value, json};

use crate::cli::Workspace;
use crate::harness::{COMPANION, Gate, Req, Setup, TRAIN, Tree, cancel, get, token};
use crate::origin::{Origin, Step};

fn gate(set: &[&str]) -> Gate {
    Gate::start_with(Setup { set: set.iter().map(|set| (*set).to_owned()).collect(), ..Setup::default() })
}

/// A log reader that counts failures by `status` read a backend's errors as successes.
#[tokio::test]
async fn a_backends_error_is_not_audited_as_success() {
    const FORBIDDEN: &[Step] =
        &[Step::Head, Step::Say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")];
    const MISSING: &[Step] = &[Step::Head, Step::Say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")];
    const BROKEN: &[Step] = &[Step::Head, Step::Say("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")];
    for (script, code, name) in
        [(FORBIDDEN, 7, "PERMISSION_DENIED"), (MISSING, 5, "NOT_FOUND"), (BROKEN, 13, "INTERNAL")]
    {
        let origin = Origin::start(script).await;
        let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), ..Setup::default() });
        gate.http1(&get()).await;
        let line = gate.audit(1).remove(0);
        let payload = &line["protoPayload"];
        assert_eq!(payload["status"], json!({ "code": code, "message": name }));
        assert_eq!(line["severity"], "ERROR");
        // Policy has allowed it all the same.
        assert_eq!(payload["metadata"]["decision"], "ALLOWED");
        assert_eq!(payload["authorizationInfo"][0]["granted"], true);
    }
}

/// The line of a 404 named no service, though the host has one; a backend's 405 had another code than the gate's.
#[tokio::test]
async fn a_line_without_a_method_names_the_service_of_its_host() {
    const WRONG: &[Step] =
        &[Step::Head, Step::Say("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")];
    let origin = Origin::start(WRONG).await;
    let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), ..Setup::default() });
    let cancel_path = format!("{TRAIN}:cancel");
    let requests = [
        (Req::new("GET", COMPANION, "/v1/nothing"), 404, 5, Some("cloudaicompanion.googleapis.com")),
        (Req::new("PUT", COMPANION, &cancel_path), 405, 3, Some("cloudaicompanion.googleapis.com")),
        (Req::new("GET", "nowhere.example.com", "/v1/nothing"), 404, 5, None),
        (get(), 405, 3, Some("cloudaicompanion.googleapis.com")),
    ];
    for (count, (request, status, code, service)) in requests.into_iter().enumerate() {
        assert_eq!(gate.http1(&request).await.status, status);
        let line = gate.audit(count + 1).remove(count);
        assert_eq!(line["protoPayload"]["status"]["code"], code, "{line}");
        assert_eq!(line["protoPayload"]["serviceName"].as_str(), service, "{line}");
        assert_eq!(line["resource"]["labels"]["service"].as_str(), service, "{line}");
    }
}

#[tokio::test]
async fn iam_is_in_the_line_only_where_it_was_asked() {
    let gate = Gate::start();
    let anonymous = Req::new("POST", COMPANION, &format!("{TRAIN}:cancel"));
    let denied = anonymous.clone().bearer(&token("bob@example.com"));
    for request in [&anonymous, &denied, &cancel()] {
        gate.http1(request).await;
    }
    let lines = gate.audit(3);
    assert_eq!(lines[0]["protoPayload"]["authorizationInfo"], Value::Null);
    let asked = |granted: bool| {
        json!([{
            "resource": "projects/demo/locations/us-central1/operations/train-1",
            "permission": "cloudaicompanion.operations.cancel",
            "granted": granted,
            "permissionType": "ADMIN_WRITE",
            "resourceAttributes": {
                "service": "cloudaicompanion.googleapis.com",
                "name": "projects/demo/locations/us-central1/operations/train-1",
            },
        }])
    };
    for (line, granted) in [(&lines[1], false), (&lines[2], true)] {
        let mut info = line["protoPayload"]["authorizationInfo"].clone();
        info[0]["resourceAttributes"].as_object_mut().unwrap().remove("type");
        assert_eq!(info, asked(granted));
    }
    let operation = json!({
        "id": "projects/demo/locations/us-central1/operations/train-1",
        "producer": "cloudaicompanion.googleapis.com",
    });
    assert!(lines.iter().all(|line| line["operation"] == operation));
}

#[tokio::test]
async fn a_line_has_the_clients_own_ids_and_how_it_came() {
    let gate = gate(&["audit.parent=projects/p-1", "audit.instance=gate-7", "audit.log_id=audit"]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = get().header("x-request-id", "mine-1").header("traceparent", parent);
    gate.over_both(&request).await;
    for (line, (version, protocol)) in gate.audit(2).iter().zip([("HTTP/1.1", "http/1.1"), ("HTTP/2", "h2c")])
    {
        let metadata = &line["protoPayload"]["metadata"];
        assert_eq!(
            (&metadata["clientRequestId"], &metadata["clientTraceparent"]),
            (&json!("mine-1"), &json!(parent))
        );
        let attributes = &line["protoPayload"]["requestMetadata"]["requestAttributes"];
        assert_eq!(
            *attributes,
            json!({ "host": COMPANION, "path": TRAIN, "scheme": "http", "protocol": protocol })
        );
        assert_eq!(line["httpRequest"]["protocol"], version);
        let size: u64 = line["httpRequest"]["responseSize"].as_str().unwrap().parse().unwrap();
        assert!(size > 10, "{line}");
        assert_eq!(line["logName"], "projects/p-1/logs/audit%2Fdata_access");
        assert_eq!(line["resource"]["labels"]["project_id"], "p-1");
        assert_eq!(line["labels"]["opgate/instance"], "gate-7");
    }
}

#[tokio::test]
async fn allowed_reads_can_be_left_out_and_nothing_else_can() {
    let requests = || [get(), cancel(), Req::new("GET", COMPANION, TRAIN)];
    for setting in
        ["audit.sample_allowed_reads=0%", "audit.skip_allowed_reads=[google.longrunning.Operations.Get*]"]
    {
        let gate = gate(&[setting]);
        for request in requests() {
            gate.http1(&request).await;
        }
        let lines = gate.audit(2);
        let told: Vec<_> = lines
            .iter()
            .map(|line| (&line["httpRequest"]["requestMethod"], &line["httpRequest"]["status"]))
            .collect();
        assert_eq!(told, [(&json!("POST"), &json!(200)), (&json!("GET"), &json!(401))], "{setting}");
    }
}

/// As an exported policy has them.
#[tokio::test]
async fn audit_configs_of_policies_say_which_reads_leave_a_line() {
    let tree = Tree::shipped();
    let exempted = "auditConfigs:\n- service: allServices\n  auditLogConfigs:\n  - logType: ADMIN_READ\n    \
                    exemptedMembers: ['user:ana@example.com']\n";
    let name = "allow/projects/demo.yaml";
    let text = std::fs::read_to_string(tree.path().join(name)).unwrap();
    tree.write(name, &(text + exempted));
    let bob = || Req::new("GET", COMPANION, TRAIN).bearer(&token("bob@example.com"));
    let told = async |settings: &[&str]| {
        let tree = tree.setting();
        let gate = gate(&[&[tree.as_str()], settings].concat());
        for request in [get(), bob(), cancel()] {
            assert_eq!(gate.http1(&request).await.status, 200);
        }
        let expected = if settings.is_empty() { 2 } else { 3 };
        let lines = gate.audit(expected).into_iter();
        lines
            .map(|line| {
                let who = line["protoPayload"]["authenticationInfo"]["principalEmail"].as_str().unwrap();
                format!("{who} {}", line["httpRequest"]["requestMethod"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&[]).await, ["bob@example.com GET", "ana@example.com POST"]);
    assert_eq!(told(&["audit.audit_configs=ignore"]).await.len(), 3);
}

#[tokio::test]
async fn chosen_fields_are_left_out() {
    let gate = gate(&["audit.redact=[caller_ip, principal, user_agent]"]);
    let denied = Req::new("POST", COMPANION, &format!("{TRAIN}:cancel")).bearer(&token("bob@example.com"));
    gate.http1(&denied.header("user-agent", "curl/8")).await;
    let line = gate.audit(1).remove(0);
    let payload = &line["protoPayload"];
    let hidden = json!("[redacted]");
    assert_eq!(payload["authenticationInfo"]["principalEmail"], hidden);
    assert_eq!(payload["requestMetadata"]["callerIp"], hidden);
    assert_eq!(payload["requestMetadata"]["callerSuppliedUserAgent"], hidden);
    // The reason in full names the caller.
    assert_eq!(payload["metadata"]["detail"], hidden);
    assert!(!line.to_string().contains("bob@"), "{line}");
    // Who asked is not known: nothing is made up.
    let workspace = Workspace::new().write("audit.jsonl", &gate.audit_text());
    let outcome = workspace.opgate(&["diff", "policies", "policies", "--requests", "audit.jsonl"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    assert!(
        outcome.stdout.starts_with("1 request: 0 gained, 0 revoked, 0 unchanged, 1 cannot be told"),
        "{}",
        outcome.text()
    );
}

#[tokio::test]
async fn compact_lines_are_about_half_as_long_and_read_by_every_command() {
    let mut sizes = Vec::new();
    for format in ["full", "compact"] {
        let gate = gate(&[&format!("audit.format={format}")]);
        let denied =
            Req::new("POST", COMPANION, &format!("{TRAIN}:cancel")).bearer(&token("bob@example.com"));
        for request in [get(), cancel(), denied] {
            gate.http1(&request).await;
        }
        gate.audit(3);
        let text = gate.audit_text();
        sizes.push(text.lines().next().unwrap().len());
        let workspace = Workspace::new().write("audit.jsonl", &text);
        let outcome = workspace.opgate(&[
            "diff",
            "policies",
            "policies",
            "--config",
            "config/demo.yaml",
            "--requests",
            "audit.jsonl",
        ]);
        assert!(
            outcome.stdout.starts_with("3 requests: 0 gained, 0 revoked, 3 unchanged"),
            "{}",
            outcome.text()
        );
        let denied = text.lines().find(|line| line.contains("DENIED")).unwrap();
        let full: Value = serde_json::from_str(&opgate::audit::full_form(denied).unwrap()).unwrap();
        let id = full["insertId"].as_str().unwrap();
        let outcome = workspace.opgate(&[
            "explain",
            "--config",
            "config/demo.yaml",
            "--audit",
            "audit.jsonl",
            "--request-id",
            id,
        ]);
        assert_eq!(outcome.code, Some(2), "{}", outcome.text());
        assert!(outcome.stdout.contains("IAM_PERMISSION_DENIED"), "{}", outcome.text());
    }
    assert!(sizes[1] * 100 < sizes[0] * 60, "{sizes:?}");
}
