//! `cors` of a service: which web pages may call it.

use std::time::Duration;

use ::http::{HeaderName, HeaderValue, Method, Uri};

use crate::catalog::cors::{CorsPolicy, OriginPattern};
use crate::diagnostic::Report;
use crate::document::scalar::{duration, set};
use crate::document::{Node, Spelling};
use crate::http::{HeaderNames, is_method};

/// The fields that pages may send where `headers` is left out: a credential, the type of a body, and what Google's client
/// libraries add.
const SENT: [&str; 4] = ["authorization", "content-type", "dpop", "x-goog-*"];
/// The fields that pages may always read: those that the gate's own answers carry.
const READ: [&str; 3] = ["WWW-Authenticate", "DPoP-Nonce", "X-Request-Id"];
/// How long a browser keeps an answer to a preflight where `max_age` is left out.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Reads `cors`. `None` where no origin could be read.
pub(super) fn cors(node: &Node, report: &mut Report) -> Option<CorsPolicy> {
    let mut fields = node.fields("`cors`", Spelling::Exact, report)?;
    let origins = fields.required("origins", report);
    let methods = fields.optional("methods").map(|node| methods(node, report));
    let headers = fields.optional("headers").map(|node| names(node, report));
    let exposed = fields.optional("expose_headers").map(|node| names(node, report)).unwrap_or_default();
    let credentials = fields.optional("credentials");
    let mut max_age = MAX_AGE;
    set(&mut fields, "max_age", &mut max_age, duration, report);
    fields.finish(report);

    let is_credentialed = credentials.and_then(|node| node.boolean(report)).unwrap_or(false);
    let origins_node = origins?;
    let origins = read_origins(origins_node, report);
    if is_credentialed {
        let lists =
            [("origins", origins_node.clone()), ("headers", node.clone()), ("expose_headers", node.clone())];
        let is_any = [
            origins.contains(&OriginPattern::Any),
            headers.as_ref().is_some_and(|names| names.iter().any(|name| name == "*")),
            exposed.iter().any(|name| name == "*"),
        ];
        for ((list, place), _) in lists.iter().zip(is_any).filter(|(_, is_any)| *is_any) {
            report
                .error(&place.span, format!("`credentials: true` does not go with `*` in `{list}`"))
                .help("browsers refuse that (Fetch, section 3.3.5): list what is meant");
        }
    }
    let sent: Vec<&str> = match &headers {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => SENT.to_vec(),
    };
    let read = READ.into_iter().chain(exposed.iter().map(String::as_str)).collect::<Vec<_>>().join(", ");
    Some(CorsPolicy {
        origins,
        methods,
        headers: HeaderNames::new(sent),
        exposed: HeaderValue::try_from(read).ok()?,
        credentials: is_credentialed,
        max_age,
    })
}

fn read_origins(node: &Node, report: &mut Report) -> Vec<OriginPattern> {
    if node.list(&mut Report::new()).is_some_and(<[Node]>::is_empty) {
        report
            .error(&node.span, "no page may call the service")
            .help("list origins, like `https://app.example.com`, or leave `cors` out");
    }
    let mut origins = Vec::new();
    for (text, item) in node.strings(report) {
        match origin(text) {
            Ok(pattern) => origins.push(pattern),
            Err(help) => {
                report
                    .error(
                        &item.span,
                        format!("`{}` is not an origin that a browser sends", text.escape_debug()),
                    )
                    .help(help);
            }
        }
    }
    origins
}

/// An origin as browsers write it: a scheme, a host in lower case and a port that is not the scheme's own.
fn origin(text: &str) -> Result<OriginPattern, String> {
    const SHAPE: &str = "write a scheme and a host, like `https://app.example.com`, `https://*.example.com` for subdomains, \
                         or `*` for any page";
    if text == "*" {
        return Ok(OriginPattern::Any);
    }
    if text == "null" {
        return Err("any page can have the origin `null`, in a sandboxed frame: delete it".to_owned());
    }
    let (scheme, rest) = text.split_once("://").ok_or(SHAPE)?;
    let plain = format!("{scheme}://{}", rest.strip_prefix("*.").unwrap_or(rest));
    if scheme.is_empty()
        || scheme.chars().any(|letter| letter.is_ascii_uppercase())
        || rest.contains(['/', '?', '#', '@'])
    {
        let bare = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return Err(if bare.is_empty() || rest.contains('@') {
            SHAPE.to_owned()
        } else {
            format!(
                "an origin has no path, and is in lower case: write `{}://{bare}`",
                scheme.to_ascii_lowercase()
            )
        });
    }
    let uri: Uri = plain.parse().map_err(|_| SHAPE)?;
    let host = uri.host().ok_or(SHAPE)?;
    if host.is_empty() || host.contains('*') {
        return Err(SHAPE.to_owned());
    }
    if !host.is_ascii() || host.chars().any(|letter| letter.is_ascii_uppercase()) {
        return Err(format!("browsers send hosts in lower case: write `{}`", text.to_ascii_lowercase()));
    }
    let port = uri.port_u16();
    let own = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    if port.is_some() && port == own {
        return Err(format!(
            "browsers leave the port out that is the scheme's own: write `{scheme}://{host}`"
        ));
    }
    Ok(match rest.strip_prefix('*') {
        Some(suffix) => {
            OriginPattern::Subdomains { scheme: format!("{scheme}://").into(), suffix: suffix.into() }
        }
        None => OriginPattern::Exact(text.into()),
    })
}

fn methods(node: &Node, report: &mut Report) -> Vec<Method> {
    let mut methods = Vec::new();
    for (text, item) in node.strings(report) {
        match (is_method(text), text.parse()) {
            (Ok(()), Ok(method)) => methods.push(method),
            _ => {
                report
                    .error(&item.span, format!("no request has the method `{}`", text.escape_debug()))
                    .help("write it in upper case, like `GET`; leave `methods` out for all that the service has");
            }
        }
    }
    methods
}

/// Header names in lower case, each whole or with a `*` at its end.
fn names(node: &Node, report: &mut Report) -> Vec<String> {
    let mut names = Vec::new();
    for (text, item) in node.strings(report) {
        let name = text.to_ascii_lowercase();
        let plain = name.strip_suffix('*').unwrap_or(&name);
        if name == "*" || HeaderName::from_bytes(plain.as_bytes()).is_ok() && !plain.contains('*') {
            names.push(name);
        } else {
            report
                .error(&item.span, format!("`{}` is not a header name", text.escape_debug()))
                .help("write a name, like `if-match`, or how names begin, like `x-acme-*`");
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;

    fn read(text: &str) -> (Option<CorsPolicy>, String) {
        let mut report = Report::new();
        let node = document::parse(&Source::new("opgate.yaml", text), &mut report).unwrap();
        let policy = cors(&node, &mut report);
        (policy, report.render(false))
    }

    #[test]
    fn what_is_left_out_lets_pages_send_a_credential_and_read_a_challenge() {
        let (policy, report) = read("{origins: [https://app.example.com]}");
        assert_eq!(report, "");
        let policy = policy.unwrap();
        assert_eq!(policy.methods, None);
        for name in ["authorization", "content-type", "dpop", "x-goog-api-client"] {
            assert!(policy.headers.contains(name), "{name}");
        }
        assert!(!policy.headers.contains("x-other"));
        assert_eq!(policy.exposed, "WWW-Authenticate, DPoP-Nonce, X-Request-Id");
        assert!(!policy.credentials);
        assert_eq!(policy.max_age, Duration::from_secs(600));
    }

    #[test]
    fn every_key_is_read() {
        let (policy, report) = read(
            "{origins: ['https://*.example.com', 'http://localhost:3000', 'http://[::1]:3000'], methods: [GET, POST], \
             headers: [If-Match, x-acme-*], expose_headers: [ETag], credentials: true, max_age: 1h}",
        );
        assert_eq!(report, "");
        let policy = policy.unwrap();
        assert!(policy.covers("https://a.b.example.com") && policy.covers("http://localhost:3000"));
        assert!(policy.covers("http://[::1]:3000") && !policy.covers("https://example.com"));
        assert_eq!(policy.methods, Some(vec![Method::GET, Method::POST]));
        assert!(policy.headers.contains("if-match") && !policy.headers.contains("authorization"));
        assert_eq!(policy.exposed, "WWW-Authenticate, DPoP-Nonce, X-Request-Id, etag");
        assert!(policy.credentials);
        assert_eq!(policy.max_age, Duration::from_secs(3600));
    }

    #[test]
    fn what_no_browser_sends_or_takes_is_a_mistake() {
        let texts = [
            "{}",
            "{origins: []}",
            "{origins: [app.example.com, 'https://app.example.com/', 'https://App.example.com', \
             'https://app.example.com:443', 'https://*', 'https://a.*.com', 'null', 'https://u@app.example.com']}",
            "{origins: ['*'], credentials: true}",
            "{origins: [https://a.example], headers: ['*'], credentials: true}",
            "{origins: [https://a.example], methods: [get], headers: ['x y', 'x-*-y'], max_age: 10, origin: x}",
        ];
        insta::assert_snapshot!(texts.map(|text| read(text).1).join(""));
    }
}
