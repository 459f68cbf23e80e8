//! What every client is to see: an answer, or an exception with Google's code, reason, domain and metadata.

use serde_json::{Map, Value, json};

const JOB: &str = "projects/demo/regions/us-central1/operations/job-1";
const GET: &str = "google.longrunning.Operations.GetOperation";
const DATAPROC: &str = "dataproc.googleapis.com";
const LOGIN: &str = "Expected OAuth 2 access token, login cookie or other valid authentication credential. See \
    https://developers.google.com/identity/sign-in/web/devconsole-project.";

/// Each row with its answer.
fn answers() -> Vec<(&'static str, Value)> {
    vec![
        ("get", json!(JOB)),
        ("list", json!([JOB, JOB.replace("job-1", "job-2")])),
        ("cancel", json!(null)),
        ("delete", json!(null)),
        ("wait", json!("projects/demo/locations/l/operations/job-1")),
        ("ordinary", json!("one")),
        ("ordinary list", json!(["one", "two"])),
        ("translate", json!(["HI"])),
    ]
}

/// A refusal: row, code, reason, domain, message and metadata.
type Refusal = (&'static str, &'static str, &'static str, &'static str, String, Value);

fn refusals() -> Vec<Refusal> {
    let missing = format!("Request is missing required authentication credential. {LOGIN}");
    let invalid = format!("Request had invalid authentication credentials. {LOGIN}");
    let called = json!({ "service": DATAPROC, "method": GET });
    let denied = |permission: &str, resource: &str| {
        let message = format!(
            "Permission '{permission}' denied on resource '//{DATAPROC}/{resource}' (or it may not exist)."
        );
        (message, json!({ "permission": permission, "resource": resource }))
    };
    let (stranger, of_stranger) = denied("dataproc.operations.get", JOB);
    let (project, of_project) = denied("dataproc.operations.cancel", &JOB.replace("demo", "other"));
    let cluster = "projects/other/regions/us-central1/clusters/one";
    let (cluster, of_cluster) = denied("dataproc.clusters.get", cluster);
    let (google, iam) = ("googleapis.com", "iam.googleapis.com");
    let (unauthenticated, forbidden) = ("UNAUTHENTICATED", "PERMISSION_DENIED");
    vec![
        ("no token", unauthenticated, "CREDENTIALS_MISSING", google, missing, called.clone()),
        ("expired", unauthenticated, "ACCESS_TOKEN_EXPIRED", google, invalid.clone(), called.clone()),
        ("bad token", unauthenticated, "JWT_TOKEN_INVALID", google, invalid, called.clone()),
        (
            "no scope",
            forbidden,
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            google,
            "Request had insufficient authentication scopes.".to_owned(),
            called,
        ),
        ("no permission", forbidden, "IAM_PERMISSION_DENIED", iam, stranger, of_stranger),
        ("another project", forbidden, "IAM_PERMISSION_DENIED", iam, project, of_project),
        ("another cluster", forbidden, "IAM_PERMISSION_DENIED", iam, cluster, of_cluster),
    ]
}

/// A row of an exception.
fn exception(row: &str, code: &str, reason: &str, domain: &str, message: &str, metadata: &Value) -> Value {
    json!({ "row": row, "code": code, "reason": reason, "domain": domain, "message": message, "metadata": metadata })
}

/// What cannot be called, cannot be reached, takes too long, or is told by the backend itself.
fn others() -> Vec<Value> {
    let missing = JOB.replace("job-1", "missing-1");
    let not_found = format!("no operation {missing}: \u{201c}\u{fc}\u{201d}");
    let named = json!({ "name": missing });
    let none = json!({});
    let no_name = "the field `name` is empty or not there";
    let late = "Deadline expired before operation could complete.";
    let away = "The service is currently unavailable.";
    vec![
        exception("no name", "INVALID_ARGUMENT", "RESOURCE_NAME_REFUSED", DATAPROC, no_name, &none),
        exception(
            "unimplemented",
            "UNIMPLEMENTED",
            "METHOD_UNIMPLEMENTED",
            DATAPROC,
            "Method is not implemented.",
            &none,
        ),
        exception(
            "unknown method",
            "UNIMPLEMENTED",
            "METHOD_NOT_FOUND",
            "translate.googleapis.com",
            "Method not found.",
            &none,
        ),
        exception("not found", "NOT_FOUND", "OPERATION_NOT_FOUND", "backend.test", &not_found, &named),
        exception("late backend", "DEADLINE_EXCEEDED", "UPSTREAM_TIMEOUT", DATAPROC, late, &none),
        exception("no backend", "UNAVAILABLE", "UPSTREAM_UNAVAILABLE", DATAPROC, away, &none),
        // The client's own clock or the gate's answer may be first.
        json!({ "row": "deadline", "code": "DEADLINE_EXCEEDED" }),
    ]
}

/// All rows of a gate, with the fields in one order.
pub fn expected() -> Map<String, Value> {
    let answered =
        answers().into_iter().map(|(row, answer)| (row.to_owned(), json!({ "row": row, "answer": answer })));
    let refused = refusals().into_iter().map(|(row, code, reason, domain, message, metadata)| {
        (row.to_owned(), exception(row, code, reason, domain, &message, &metadata))
    });
    let others = others().into_iter().map(|line| (line["row"].as_str().unwrap().to_owned(), line));
    answered.chain(refused).chain(others).collect()
}

/// What the backend gets for a row that reaches it and is not slow: the path, and the bytes of the request.
pub fn sent(row: &str) -> Option<(&'static str, Vec<u8>)> {
    let operations = |method, number, name: &str| Some((method, field(number, name)));
    let location = "projects/demo/regions/us-central1";
    match row {
        "get" => operations("/google.longrunning.Operations/GetOperation", 1, JOB),
        "not found" => {
            operations("/google.longrunning.Operations/GetOperation", 1, &JOB.replace("job-1", "missing-1"))
        }
        "cancel" => operations("/google.longrunning.Operations/CancelOperation", 1, JOB),
        "delete" => operations("/google.longrunning.Operations/DeleteOperation", 1, JOB),
        "list" => {
            operations("/google.longrunning.Operations/ListOperations", 4, &format!("{location}/operations"))
        }
        "wait" => operations(
            "/google.longrunning.Operations/WaitOperation",
            1,
            "projects/demo/locations/l/operations/job-1",
        ),
        "ordinary" => {
            let cluster = [field(1, "demo"), field(2, "one"), field(3, "us-central1")].concat();
            Some(("/google.cloud.dataproc.v1.ClusterController/GetCluster", cluster))
        }
        "ordinary list" => {
            let place = [field(1, "demo"), field(4, "us-central1")].concat();
            Some(("/google.cloud.dataproc.v1.ClusterController/ListClusters", place))
        }
        "translate" => {
            let text = [field(1, "hi"), field(5, "de"), field(8, "projects/demo/locations/l")].concat();
            Some(("/google.cloud.translation.v3.TranslationService/TranslateText", text))
        }
        _ => None,
    }
}

/// A field that is a text, of fewer than 128 bytes.
fn field(number: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
