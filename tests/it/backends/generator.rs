//! Requests around the route table. Each is made from a seed and its number alone, so that a failure can be repeated.

use super::case::{Caller, Case, Version};
use crate::harness::Body;

/// The routes of `tests/backends/policies`, open and closed. `{p}` is a project, `{t}` an id, `{rest}` any segments.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/projects/{p}/things/{t}"),
    ("GET", "/v1/projects/{p}/things/{t}:exportSecrets"),
    ("GET", "/v1/projects/{p}/things/root"),
    ("GET", "/v1/projects/{p}/things/audit"),
    ("GET", "/v1/projects/{p}/things/vault"),
    ("DELETE", "/v1/projects/{p}/things/{t}"),
    ("PUT", "/v1/projects/{p}/things/{t}"),
    ("POST", "/v1/projects/{p}/things/{t}:testIamPermissions"),
    ("POST", "/v1/projects/{p}/things/{t}:purge"),
    ("POST", "/v1/projects/{p}/hooks/{t}"),
    ("GET", "/v1/projects/{p}/files/{rest}"),
    ("GET", "/v1/projects/{p}/files/{rest}/acl"),
    ("GET", "/v1/projects/{p}/transferOperations/{t}"),
    ("POST", "/v1/projects/{p}/transferOperations/{t}:cancel"),
    ("GET", "/v1/projects/{p}/vaults/{t}"),
    ("GET", "/v1/projects/{p}/boxes/{t}"),
];

const IDS: &[&str] = &[
    "x",
    "x-1",
    "X",
    "a%20b",
    "a%22b",
    "%C3%A9",
    "x%3Ay",
    "x:y",
    "rOot2",
    "root",
    "audit",
    "vault",
    "acl",
    "things",
    "exportSecrets",
    "%7E",
    "~",
    "a+b",
    "a%2Bb",
    "a,b",
    "a=b",
    "a@b",
    "x%25y",
    "1",
];
const RESTS: &[&str] = &["a", "a/b", "a/b/c", "acl", "acl/acl", "a%20b/c", "A/acl/b", "root", "a%3Ab", "x.y"];
const METHODS: &[&str] = &[
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "PURGE", "REPORT", "get", "Get", "M-SEARCH",
    "QUERY", "LINK", "FOO", "G.T", "GET!",
];
const VERBS: &[&str] =
    &["exportSecrets", "testIamPermissions", "purge", "cancel", "exportsecrets", "PURGE", "x"];
const PIECES: &[&str] = &[
    "%C5%BF",
    "%E2%84%AA",
    "%C4%B0",
    "%C4%B1",
    "%EF%BC%A1",
    "%EF%AC%86",
    "%C3%9F",
    "%CC%87",
    "%C2%AD",
    "%E2%80%8B",
    "%2F",
    "%5C",
    "%3B",
    "%3F",
    "%23",
    "%25",
    "%00",
    "%0A",
    "%20",
    "%2E",
    "%ff",
    "%c0%af",
    "%",
    "%4",
    "%u0041",
    ";",
    ";a=b",
    "\\",
    ".",
    "..",
    "/",
    "//",
    "/./",
    "/../",
    "/.",
    "+",
    "&",
    "|",
    "^",
    "\"",
    "<",
    "{",
    "'",
    "(",
    "!",
    "$",
];
const QUERIES: &[&str] = &[
    "name=projects/q/things/y",
    "Name=projects/q/things/y",
    "NAME=z",
    "n%61me=projects/q/things/y",
    "name[]=z",
    "name[a]=z",
    "name.a=z",
    "$name=z",
    "%24name=z",
    "nam%65",
    "re%C5%BFource=projects/q/things/y",
    "resource=projects/q/things/y",
    "a=b",
    "a=b&c=d",
    "alt=json",
    "$alt=json",
    "prettyPrint=false",
    "_method=DELETE",
    "_method=GET",
    "_Method=PUT",
    "%5Fmethod=DELETE",
    "_HttpMethod=DELETE",
    "httpMethod=DELETE",
    "$httpMethod=PUT",
    "a=b;name=projects/q/things/y",
    "a=b%26name=z",
    "a=%",
    "",
    "?",
    "a=1?name=z",
    "fields=name",
    "x_method=1",
    "access_token=t",
    "$ct=text/plain",
    "callback=f",
    "name%00=z",
    "name%20=z",
    "+name=z",
];
const HEADERS: &[(&str, &str)] = &[
    ("x-http-method-override", "DELETE"),
    ("x-http-method-override", "GET"),
    ("x-http-method-override", "PATCH"),
    ("x-http-method", "DELETE"),
    ("x-method-override", "PUT"),
    ("x_http_method_override", "DELETE"),
    ("_method", "DELETE"),
    ("_httpmethod", "DELETE"),
    ("x-original-url", "/v1/projects/p/things/root"),
    ("x-rewrite-url", "/v1/projects/p/things/root"),
    ("x-forwarded-prefix", "/v1"),
    ("x-forwarded-host", "q"),
    ("grpc-metadata-role", "admin"),
    ("grpcgateway-authorization", "x"),
    ("x-remote-group", "admins"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "application/json"),
    ("content-type", "text/plain"),
    ("content-type", "application/json; charset=utf-7"),
    ("content-encoding", "gzip"),
    ("content-encoding", "identity"),
    ("x-request-id", "mine"),
    ("accept", "*/*"),
    ("connection", "close"),
    ("expect", "100-continue"),
    ("script-name", "/v1"),
    ("x-script-name", "/v1"),
];
const BODIES: &[&str] = &[
    "{}",
    "",
    r#"{"permissions":["a"]}"#,
    r#"{"permissions":["a","b"]}"#,
    r#"{"resource":"projects/p/things/x"}"#,
    r#"{"resource":"projects/q/things/y"}"#,
    r#"{"Resource":"projects/q/things/y"}"#,
    "{\"re\u{17f}ource\":\"projects/q/things/y\"}",
    r#"{"re\u017fource":"projects/q/things/y"}"#,
    r#"{"resource":null}"#,
    r#"{"name":"projects/q/things/y"}"#,
    r#"{"_method":"DELETE"}"#,
    "_method=DELETE",
    "resource=projects/q/things/y",
    "name=projects/q/things/y&_method=GET",
    r#"{"a":"&resource=projects/q/things/y&"}"#,
    r#"{"resource":"projects/p/things/x","resource":"projects/q/things/y"}"#,
    "[]",
    "null",
    "{",
    "\u{feff}{}",
    r#"{"a":1e999}"#,
    "{\"permissions\":[\"\u{212a}\"]}",
];
/// After a head that says `chunked`: bodies that readers repair in different ways (RFC 9112, section 7.1).
const CHUNKS: &[&str] = &[
    "2\r\n{}\r\n0\r\n\r\n",
    "2\n{}\n0\n\n",
    "2 \r\n{}\r\n0\r\n\r\n",
    " 2\r\n{}\r\n0\r\n\r\n",
    "0x2\r\n{}\r\n0\r\n\r\n",
    "+2\r\n{}\r\n0\r\n\r\n",
    "\r\n0\r\n\r\n",
    ";\r\n{}\r\n0\r\n\r\n",
    "2;a=b\r\n{}\r\n0\r\n\r\n",
    "2;a\n\r\n{}\r\n0\r\n\r\n",
    "2;\r\n{}\r\n0\r\n\r\n",
    "2\r\n{}0\r\n\r\n",
    "2\r\n{}\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
    "2\r\n{}\r\n0\r\na: b\r\n\r\n",
    "2\r\n{}\r\n00\r\n\r\n",
    "02\r\n{}\r\n0\r\n\r\n",
    "2\r\n{}\r\n0;\u{1}\r\n\r\n",
    "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "2\r\n{}\r\n-1\r\n\r\n",
    "g\r\n{}\r\n0\r\n\r\n",
];

/// Random numbers that the seed determines (splitmix64, Steele, Lea and Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    /// True in `percent` of a hundred calls.
    fn percent(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    fn of<'t, T>(&mut self, table: &'t [T]) -> &'t T {
        &table[self.below(table.len())]
    }
}

/// The case of this number for one of these hosts. One number in three goes over HTTP/2.
pub fn case(seed: u64, number: u64, hosts: &[String]) -> Case {
    let mut dice = Dice(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
    let version = if number.is_multiple_of(3) { Version::Http2 } else { Version::Http1 };
    let host = dice.of(hosts).clone();
    let (method, template) = *dice.of(ROUTES);
    let id = if dice.percent(60) { format!("x{}", dice.below(100)) } else { (*dice.of(IDS)).to_owned() };
    let project = if dice.percent(85) { "p" } else { *dice.of(&["q", "P", "%70", "p%2Fq", "pp"]) };
    let rest = *dice.of(RESTS);
    let mut path = template.replace("{p}", project).replace("{t}", &id).replace("{rest}", rest);
    if dice.percent(45) {
        for _ in 0..1 + dice.below(3) {
            path = mutate(&mut dice, path);
        }
    }
    let any = method == "POST" && template.contains("/hooks/");
    let method = if dice.percent(if any { 60 } else { 7 }) { *dice.of(METHODS) } else { method };
    if dice.percent(12) {
        path = format!("{path}?{}", dice.of(QUERIES));
    }
    let caller = if dice.percent(90) { Caller::All } else { Caller::Get };
    let mut case = Case::new(method, &host, &path).over(version).by(caller);
    case.number = number;
    if dice.percent(10) {
        let (name, value) = *dice.of(HEADERS);
        // HTTP/2 has no connection-specific fields, and waiting for 100 (Continue) is not tested here.
        if (version == Version::Http1 || name != "connection") && name != "expect" {
            case = case.header(name, value);
        }
    }
    with_body(&mut dice, case, method)
}

fn with_body(dice: &mut Dice, case: Case, method: &str) -> Case {
    let takes_one = matches!(method, "POST" | "PUT" | "PATCH");
    if !dice.percent(if takes_one { 70 } else { 4 }) {
        return case;
    }
    let is_hook = case.request.target.contains("/hooks/");
    let body =
        if dice.percent(60) { *dice.of(&["{}", r#"{"permissions":["a"]}"#]) } else { *dice.of(BODIES) };
    let typed = case.request.headers.iter().any(|(name, _)| name == "content-type");
    let case = if typed || is_hook || dice.percent(30) {
        case
    } else {
        case.header("content-type", "application/json")
    };
    if case.version == Version::Http1 && dice.percent(8) {
        return case.chunks(*dice.of(CHUNKS));
    }
    let body = body.as_bytes().to_vec();
    case.body(if dice.percent(70) { Body::Length(body) } else { Body::Chunked(body) })
}

/// One change of a path.
fn mutate(dice: &mut Dice, path: String) -> String {
    // The first slash stays: without it, the target is not a path.
    let at = 1 + dice.below(path.len() - 1);
    let byte = path.as_bytes()[at];
    let (before, here, after) = match (path.get(..at), path.get(at..=at), path.get(at + 1..)) {
        (Some(before), Some(here), Some(after)) => (before, here, after),
        _ => return path,
    };
    match dice.below(14) {
        0 | 1 => {
            let other =
                if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
            format!("{before}{}{after}", char::from(other))
        }
        2 | 3 => format!("{before}%{byte:02X}{after}"),
        4 => format!("{before}%{:02x}{after}", byte ^ 0x20),
        5 => path.replace(':', if dice.percent(50) { "%3A" } else { "%3a" }),
        6 => last_segment(&path, |last| last.bytes().map(|byte| format!("%{byte:02X}")).collect()),
        7 => last_segment(&path, |last| last.to_ascii_uppercase()),
        8 => {
            let colon = *dice.of(&[":", "%3A", "%3a", "%253A", "::", "%EF%BC%9A"]);
            format!("{path}{colon}{}", dice.of(VERBS))
        }
        9 => format!("{before}%25{byte:02X}{after}"),
        10 => match byte.to_ascii_lowercase() {
            b's' => format!("{before}%C5%BF{after}"),
            b'k' => format!("{before}%E2%84%AA{after}"),
            _ => path.to_ascii_uppercase(),
        },
        11 => format!(
            "{path}{}",
            dice.of(&["/", "/acl", "/ACL", "/a%63l", "/x", ":", "%3A", "%3a", "%2Facl", "/acl/", "%00"])
        ),
        12 => format!("{before}{}{after}", dice.of(PIECES)),
        _ => format!("{before}{}{here}{after}", dice.of(PIECES)),
    }
}

fn last_segment(path: &str, change: impl FnOnce(&str) -> String) -> String {
    match path.rsplit_once('/') {
        Some((before, last)) => format!("{before}/{}", change(last)),
        None => path.to_owned(),
    }
}
