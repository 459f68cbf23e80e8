//! A row of refused requests: the request, and the whole expected answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::seed::{CANCEL, COMPANION_SEED, DATAPROC_SEED, Seed, TRANSLATION_SEED};
use crate::harness::front::{self, Front};
use crate::harness::{Answer, Gate, Req};

const REALM: &str = "Bearer realm=\"https://accounts.google.com/\"";
const TAIL: &str = "Expected OAuth 2 access token, login cookie or other valid authentication credential. See \
    https://developers.google.com/identity/sign-in/web/devconsole-project.";

/// A request and its refusal.
pub struct Row {
    pub name: String,
    pub request: Req,
    pub refusal: Refusal,
}

/// All fields of an error but the request's id.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub reason: &'static str,
    pub domain: &'static str,
    pub metadata: Value,
    /// The field of a google.rpc.BadRequest whose description is the message; empty for the body as a whole.
    pub violation: Option<&'static str>,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// `Allow`.
    pub allow: Option<&'static str>,
}

impl Row {
    pub fn new(name: impl Into<String>, request: Req, refusal: Refusal) -> Self {
        Self { name: name.into(), request, refusal }
    }
}

impl Refusal {
    fn new(status: u16, code: &'static str, reason: &'static str, message: &str) -> Self {
        Self {
            status,
            code,
            message: message.to_owned(),
            reason,
            domain: "opgate",
            metadata: json!({}),
            violation: None,
            challenge: None,
            allow: None,
        }
    }

    /// With the domain of the service on a host, where the reason is none of Google's. A request with a system parameter that
    /// is refused is not read to its host.
    fn on(self, host: &str) -> Self {
        let is_unread =
            self.reason == "QUERY_PARAMETER_REFUSED" && !self.message.to_lowercase().contains("`name");
        let seed =
            [COMPANION_SEED, DATAPROC_SEED, TRANSLATION_SEED].into_iter().find(|seed| seed.host == host);
        match seed {
            Some(seed) if self.domain == "opgate" && !is_unread => Self { domain: seed.name, ..self },
            _ => self,
        }
    }

    fn at(self, seed: &Seed) -> Self {
        let metadata = json!({ "service": seed.name, "method": CANCEL });
        Self { domain: "googleapis.com", metadata, ..self }
    }

    /// 401 to a cancel without a credential.
    pub fn missing(seed: &Seed) -> Self {
        let message = format!("Request is missing required authentication credential. {TAIL}");
        let refusal = Self::new(401, "UNAUTHENTICATED", "CREDENTIALS_MISSING", &message).at(seed);
        Self { challenge: Some(REALM.to_owned()), ..refusal }
    }

    /// 401 to a cancel with a token that proves nothing.
    pub fn invalid(seed: &Seed, reason: &'static str) -> Self {
        let message = format!("Request had invalid authentication credentials. {TAIL}");
        let refusal = Self::new(401, "UNAUTHENTICATED", reason, &message).at(seed);
        Self { challenge: Some(format!("{REALM}, error=\"invalid_token\"")), ..refusal }
    }

    /// The same at a gate that accepts DPoP proofs: the challenge names the scheme.
    pub fn over_dpop(seed: &Seed, reason: &'static str) -> Self {
        let realm = REALM.replacen("Bearer", "DPoP", 1);
        let algorithms = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA";
        let challenge = format!("{realm}, error=\"invalid_token\", algs=\"{algorithms}\"");
        Self { challenge: Some(challenge), ..Self::invalid(seed, reason) }
    }

    /// 401 to a cancel with another scheme.
    pub fn scheme(seed: &Seed) -> Self {
        Self { challenge: Some(REALM.to_owned()), ..Self::invalid(seed, "CREDENTIAL_TYPE_UNSUPPORTED") }
    }

    /// 400 to a cancel with two credentials.
    pub fn overloaded(seed: &Seed) -> Self {
        let message = "Request has more than one authentication credential.";
        Self::new(400, "INVALID_ARGUMENT", "OVERLOADED_CREDENTIALS", message).at(seed)
    }

    /// 403 to a cancel with none of the scopes.
    pub fn scope(seed: &Seed) -> Self {
        let message = "Request had insufficient authentication scopes.";
        let refusal =
            Self::new(403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", message).at(seed);
        let challenge = format!("{REALM}, error=\"insufficient_scope\", scope=\"{}\"", seed.scopes);
        Self { challenge: Some(challenge), ..refusal }
    }

    /// 403 from IAM.
    pub fn permission(seed: &Seed, verb: &str, resource: &str) -> Self {
        let permission = format!("{}.operations.{verb}", seed.permissions.unwrap());
        let message = format!(
            "Permission '{permission}' denied on resource '//{}/{resource}' (or it may not exist).",
            seed.name
        );
        let metadata = json!({ "resource": resource, "permission": permission });
        let refusal = Self::new(403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED", &message);
        Self { domain: seed.domain, metadata, ..refusal }
    }

    /// 404 where nothing is exposed.
    pub fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "METHOD_NOT_FOUND", "Method not found.")
    }

    /// 404 on a host that nothing is exposed on.
    pub fn unknown_host(host: &str) -> Self {
        let message = format!("Method not found: no service is on the host `{host}`.");
        Self::new(404, "NOT_FOUND", "METHOD_NOT_FOUND", &message)
    }

    /// 405.
    pub fn method(allow: &'static str) -> Self {
        let message = "HTTP method is not allowed for this path.";
        let refusal = Self::new(405, "INVALID_ARGUMENT", "HTTP_METHOD_NOT_ALLOWED", message);
        Self { allow: Some(allow), ..refusal }
    }

    /// 400 for a body, with the field that is wrong; empty for the body as a whole.
    pub fn body(message: &str, field: &'static str) -> Self {
        let refusal = Self::new(400, "INVALID_ARGUMENT", "REQUEST_BODY_REFUSED", message);
        Self { violation: Some(field), ..refusal }
    }

    /// 400 for a query parameter.
    pub fn query(key: &str) -> Self {
        let message = format!("the query parameter `{key}` is not accepted here");
        Self::new(400, "INVALID_ARGUMENT", "QUERY_PARAMETER_REFUSED", &message)
    }

    /// nginx gives its own page with 401 or 403, and the settings of the page about it tell the reason.
    fn compare_behind_nginx(&self, answer: &Answer) -> Result<(), String> {
        let status = if self.status == 401 { 401 } else { 403 };
        // Some it refuses by itself.
        let is_its_own =
            self.status == 400 && answer.status == 400 && answer.header("x-opgate-reason").is_none();
        if is_its_own {
            return Ok(());
        }
        let found = (answer.status, answer.header("x-opgate-reason"), answer.header("www-authenticate"));
        // It passes on the challenge of a 401.
        let challenge = self.challenge.as_deref().filter(|_| status == 401);
        let expected = (status, Some(self.reason), challenge);
        let real = answer.header("x-opgate-status").filter(|status| !status.is_empty());
        let told = (status != self.status).then(|| self.status.to_string());
        if found != expected || real != told.as_deref() {
            return Err(format!("the answer is {found:?}, {real:?}, expected {expected:?}, {told:?}"));
        }
        Ok(())
    }

    fn body_of(&self, request_id: &str) -> Value {
        let mut details = vec![json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.reason,
            "domain": self.domain,
            "metadata": self.metadata,
        })];
        details.extend(self.violation.map(|field| {
            let violation = match field {
                "" => json!({ "description": self.message }),
                field => json!({ "field": field, "description": self.message }),
            };
            json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation] })
        }));
        details
            .push(json!({ "@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id }));
        json!({
            "error": {
                "code": self.status,
                "message": self.message,
                "status": self.code,
                "details": details,
            }
        })
    }

    /// Every header field of an error, but those of one answer (id, date) and of one connection.
    fn headers(&self, length: usize) -> BTreeMap<String, Vec<String>> {
        let length = length.to_string();
        let fields = [
            ("content-type", Some("application/json; charset=UTF-8")),
            ("content-length", Some(length.as_str())),
            ("vary", Some("Origin, X-Origin, Referer")),
            ("cache-control", Some("private")),
            ("x-content-type-options", Some("nosniff")),
            ("www-authenticate", self.challenge.as_deref()),
            ("allow", self.allow),
        ];
        let present = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        present.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])).collect()
    }

    /// Checks an answer: the error names the first difference.
    pub fn compare(&self, answer: &Answer) -> Result<(), String> {
        if front::current() == Some(Front::Nginx) {
            return self.compare_behind_nginx(answer);
        }
        if answer.status != self.status {
            return Err(format!("status {}, expected {}", answer.status, self.status));
        }
        let request_id = answer.header("x-request-id").unwrap_or_default();
        if request_id.len() != 32 || !request_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("the request id is `{request_id}`"));
        }
        let (body, expected) = (answer.json(), self.body_of(request_id));
        if body.as_ref() != Some(&expected) {
            return Err(format!("the body is\n{body:#?}\nexpected\n{expected:#?}"));
        }
        let (headers, expected) = (fixed_headers(answer), self.headers(answer.body.len()));
        if headers != expected {
            return Err(format!("the headers are\n{headers:#?}\nexpected\n{expected:#?}"));
        }
        Ok(())
    }
}

/// The header fields that do not belong to one answer or to one connection.
fn fixed_headers(answer: &Answer) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<String>>::new();
    for (name, value) in &answer.headers {
        // Those of a proxy in front, which write fields of their own.
        let is_proxys = front::current().is_some()
            && matches!(name.as_str(), "alt-svc" | "server" | "via" | "x-opgate-reason");
        if !is_proxys && !matches!(name.as_str(), "connection" | "date" | "keep-alive" | "x-request-id") {
            fields.entry(name.as_str().to_owned()).or_default().push(value.to_str().unwrap().to_owned());
        }
    }
    fields
}

/// Sends every row over both versions, and reports all failures at once, by row.
pub async fn run(table: &str, gate: &Gate, rows: &[Row]) {
    let mut failures = Vec::new();
    let mut asked = 0;
    for Row { name, request, refusal } in rows {
        let refusal = &refusal.clone().on(&request.host);
        for version in ["HTTP/1.1", "HTTP/2"] {
            gate.backend.clear();
            let answer = match version {
                "HTTP/2" => gate.http2(request).await,
                _ => gate.http1(request).await,
            };
            let uncarried = front::current().and_then(|front| front.cannot_carry(request, version));
            if let Some(why) = uncarried {
                if answer.status < 400 {
                    failures.push(format!("{name}, {version}: {} though {why}", answer.status));
                }
            } else if let Err(what) = refusal.compare(&answer) {
                failures.push(format!("{name}, {version}: {what}"));
            }
            let seen = gate.backend.requests();
            if !seen.is_empty() {
                failures.push(format!("{name}, {version}: the backend saw {seen:?}"));
            }
        }
        if front::current().is_some() {
            continue;
        }
        match explained(gate, request, refusal).await {
            Some(Err(what)) => failures.push(format!("{name}, explained: {what}")),
            Some(Ok(())) => asked += 1,
            None => {}
        }
    }
    eprintln!(
        "{table}: {} rows over two versions, {asked} explained, {} failures",
        rows.len(),
        failures.len()
    );
    assert!(
        front::current().is_some() || asked * 4 > rows.len() * 3,
        "{table}: only {asked} of {} rows were explained",
        rows.len()
    );
    assert!(failures.is_empty(), "{table}\n\n{}", failures.join("\n\n"));
}

/// Asks the running gate to explain a refusal: it must name the same reason, and the rule or that there is none. `None`
/// if `/explain` cannot take the request: `Basic` or two credentials are not a token.
pub async fn explained(gate: &Gate, request: &Req, refusal: &Refusal) -> Option<Result<(), String>> {
    let mut question = json!({
        "request": { "method": request.method, "path": request.target, "host": request.host },
    });
    match request.headers.iter().filter(|(name, _)| name == "authorization").collect::<Vec<_>>().as_slice() {
        [] => {}
        [(_, value)] => {
            let token = value.strip_prefix("Bearer ").filter(|token| !token.starts_with(' '))?;
            question["token"] = token.into();
        }
        _ => return None,
    }
    let answer = gate.explain(&question).await;
    if answer.status != 200 {
        return Some(Err(format!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body))));
    }
    Some(compare_explanation(&answer.json().unwrap(), refusal))
}

fn compare_explanation(json: &Value, refusal: &Refusal) -> Result<(), String> {
    let gate = &json["opgate"];
    let because = gate["because"].as_str().unwrap();
    // The gate checks a body once the call is allowed.
    if refusal.reason == "REQUEST_BODY_REFUSED" {
        return if json["overallAccessState"] == "CAN_ACCESS" { Ok(()) } else { Err(because.to_owned()) };
    }
    if (gate["reason"].as_str(), gate["httpStatus"].as_u64())
        != (Some(refusal.reason), Some(refusal.status.into()))
    {
        return Err(format!("{} {}: {because}", gate["reason"], gate["httpStatus"]));
    }
    let refusing = gate["stages"].as_array().unwrap().iter().filter(|stage| stage["state"] == "REFUSED");
    if refusing.count() != 1 || json["overallAccessState"] != "CANNOT_ACCESS" {
        return Err(format!("the stages are {:#}", gate["stages"]));
    }
    if gate["changes"].as_array().unwrap().is_empty() {
        return Err("nothing would change it".to_owned());
    }
    if refusal.reason != "IAM_PERMISSION_DENIED" {
        return Ok(());
    }
    // The shipped tree has no deny rule: the cause is a missing binding, and the nearest one is named.
    let place = regex::Regex::new(r"\(\S+\.yaml:\d+\)$").unwrap();
    let told = because.contains("no binding on `")
        && (because.ends_with("none names them") || place.is_match(because));
    if told { Ok(()) } else { Err(because.to_owned()) }
}
