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

/// All rows of a gate, with the fields in one order.
pub fn expected() -> Map<String, Value> {
    let answered = answers().into_iter().map(|(row, answer)| (row.to_owned(), json!({ "row": row, "answer": answer })));
    let refused = refusals().into_iter().map(|(row, code, reason, domain, message, metadata)| {
        (row.to_owned(), exception(row, code, reason, domain, &message, &metadata))
    });
    answered.chain(refused).collect()
}
