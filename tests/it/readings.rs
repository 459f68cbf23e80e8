//! Method, query and body: a backend must not read another call than the one that was judged.

use serde_json::json;

use crate::harness::{Body, Gate, Req, Setup, Tree, reason, values};

const HOST: &str = "books.localhost";
const BOOK: &str = "projects/mine/locations/l/operations/book";

const SERVICE: &str = "
name: books.example.com
http:
  rules:
  - selector: example.Books.Mark
    post: /v1/{resource=projects/*/locations/*/operations/*}:wait
    body: '*'
  - selector: example.Books.Ask
    get: /v1/{resource=projects/*/locations/*/operations/*}
  - selector: example.Books.Upload
    post: /upload/{resource=projects/*/locations/*/operations/*}
    body: '*'
authentication:
  rules:
  - selector: '*'
    allow_without_credential: true
";
const RULES: &str = "
service: books.example.com
rules:
- {selector: example.Books.Mark, permission: none, resource: resource}
- {selector: example.Books.Ask, permission: none, resource: resource}
- {selector: example.Books.Upload, permission: none, resource: resource, body: stream}
";

/// A gate in front of methods whose resource is the path variable `resource`: a name that folds in more ways than
/// `name`.
struct Books {
    gate: Gate,
    _tree: Tree,
}

impl Books {
    fn start(upstream_protocol: Option<&'static str>) -> Self {
        let tree = Tree::empty();
        tree.add_service("books", SERVICE, RULES);
        let exposed = json!({ "books": { "hosts": [HOST], "upstream": "operations" } });
        let set = vec![tree.setting(), format!("services={exposed}")];
        Self { gate: Gate::start_with(Setup { set, upstream_protocol, ..Setup::default() }), _tree: tree }
    }

    async fn assert_refused(&self, request: &Req, expected: &str) {
        for answer in self.gate.over_both(request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (400, expected), "{request:?}");
        }
        assert!(self.gate.backend.requests().is_empty(), "{request:?}");
    }

    /// What the backend saw of a request that is sent over both versions. It may know nothing of what it is asked.
    async fn seen(&self, request: &Req) -> Vec<opgate::dev::backend::ReceivedRequest> {
        self.gate.backend.clear();
        for answer in self.gate.over_both(request).await {
            assert_eq!(reason(&answer), "", "{request:?}");
        }
        let requests = self.gate.backend.requests();
        assert_eq!(requests.len(), 2, "{request:?}");
        self.gate.backend.clear();
        requests
    }
}

fn mark(body: &str) -> Req {
    Req::new("POST", HOST, &format!("/v1/{BOOK}:wait")).body(Body::Length(body.as_bytes().to_vec()))
}

fn ask(query: &str) -> Req {
    Req::new("GET", HOST, &format!("/v1/{BOOK}?{query}"))
}

/// Go's `encoding/json` folds keys by Unicode, and other readers in other ways: any of them would act on another book.
#[tokio::test]
async fn a_body_key_that_some_reader_takes_for_the_path_variable_must_agree_with_the_path() {
    let books = Books::start(None);
    for key in [
        "resource",
        "RESOURCE",
        "re\u{17f}ource",
        "RE\u{17f}OURCE",
        "re\\u017fource",
        "re_source",
        "re-source",
        "$resource",
        " resource",
        "resource.",
        "resource[]",
        "resource.id",
        "resource[0]",
    ] {
        let body = format!(r#"{{"{key}":"projects/other/locations/l/operations/book"}}"#);
        books.assert_refused(&mark(&body), "REQUEST_BODY_REFUSED").await;
    }
    let twice = format!(r#"{{"resource":"{BOOK}","re{}ource":"{BOOK}"}}"#, '\u{17f}');
    books.assert_refused(&mark(&twice), "REQUEST_BODY_REFUSED").await;
    books.assert_refused(&mark(r#"{"_method":"DELETE"}"#), "REQUEST_BODY_REFUSED").await;
    let inherited = r#"{"__proto__":{"resource":"projects/other/locations/l/operations/book"}}"#;
    books.assert_refused(&mark(inherited), "REQUEST_BODY_REFUSED").await;
    for body in [format!(r#"{{"re{}ource":"{BOOK}"}}"#, '\u{17f}'), r#"{"resources":"x"}"#.to_owned()] {
        for request in books.seen(&mark(&body)).await {
            assert_eq!(request.body, body);
        }
    }
}

#[tokio::test]
async fn a_query_key_that_some_reader_takes_for_the_path_variable_is_refused() {
    let books = Books::start(None);
    for key in
        ["resource", "Resource", "re%C5%BFource", "RE%C5%BFOURCE", "re_source", "resource%5B%5D", "+resource"]
    {
        books.assert_refused(&ask(&format!("{key}=projects/other")), "QUERY_PARAMETER_REFUSED").await;
    }
    books.seen(&ask("resources=x&filter=resource%3Da")).await;
}

/// A reader that guesses by content takes `&resource=…&` for a form field; a reader that goes by the type does not.
#[tokio::test]
async fn a_body_judged_as_json_is_sent_as_json_whatever_its_type_was() {
    let body = r#"{"x":"&resource=projects/other&z="}"#;
    for upstream_protocol in [None, Some("h2c")] {
        let books = Books::start(upstream_protocol);
        for media_type in [
            None,
            Some("application/json"),
            Some("Application/JSON"),
            Some("application/json; charset=UTF-8"),
            Some("application/json;charset=\"utf-8\""),
        ] {
            let mut request = mark(body).header("content-encoding", "identity");
            if let Some(media_type) = media_type {
                request = request.header("content-type", media_type);
            }
            for seen in books.seen(&request).await {
                assert_eq!(
                    values(&seen.headers, "content-type"),
                    ["application/json"],
                    "{media_type:?} over {upstream_protocol:?}"
                );
                assert!(!seen.headers.contains_key("content-encoding"));
                assert_eq!(seen.body, body);
            }
        }
        for seen in books.seen(&mark("").header("content-type", "application/json")).await {
            assert!(!seen.headers.contains_key("content-type"), "an empty body has no type");
        }
        // A streamed body keeps the type that it came with, or has none.
        let upload = Req::new("POST", HOST, &format!("/upload/{BOOK}")).body(Body::Length(b"x=1".to_vec()));
        for seen in books.seen(&upload).await {
            assert!(!seen.headers.contains_key("content-type"));
        }
        for seen in books.seen(&upload.header("content-type", "text/x; charset=a")).await {
            assert_eq!(values(&seen.headers, "content-type"), ["text/x; charset=a"]);
        }
    }
}

#[tokio::test]
async fn a_body_in_another_encoding_of_unicode_is_refused() {
    let books = Books::start(None);
    let text = r#"{"resource":"projects/other"}"#;
    let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let utf32 = |bytes: fn(u32) -> [u8; 4]| text.chars().flat_map(|letter| bytes(letter.into())).collect();
    let bodies: [Vec<u8>; 6] = [
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        [b"\xff\xfe".to_vec(), utf16(u16::to_le_bytes)].concat(),
        utf32(u32::to_le_bytes),
        utf32(u32::to_be_bytes),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
    ];
    for body in bodies {
        let request = mark("").body(Body::Length(body));
        books.assert_refused(&request, "REQUEST_BODY_REFUSED").await;
    }
    for media_type in ["application/json; charset=utf-7", "application/json; charset=utf-16", "text/json"] {
        books.assert_refused(&mark("{}").header("content-type", media_type), "REQUEST_BODY_REFUSED").await;
    }
}

#[tokio::test]
async fn a_query_key_that_replaces_the_method_is_refused_in_every_spelling() {
    let books = Books::start(None);
    for query in [
        "_method=DELETE",
        "_METHOD=DELETE",
        "%5fmethod=DELETE",
        "_method%5B%5D=DELETE",
        "_method%5B0%5D=DELETE",
        ".method=DELETE",
        "+_method=DELETE",
        "__method=DELETE",
        "$method=DELETE",
        "_HttpMethod=DELETE",
        "httpMethod=DELETE",
        "$httpMethod=DELETE",
        "http_method=DELETE",
        "http+method=DELETE",
        "x-http-method=DELETE",
        "x-http-method-override=DELETE",
        "X-HTTP-Method-Override=DELETE",
        "x_http_method_override=DELETE",
        "x.http.method.override=DELETE",
        "x-method-override=DELETE",
        "method_override=DELETE",
        "_method_override=DELETE",
        "method=DELETE",
        "Method=delete",
        "method=+delete",
        "_content_type=text/plain",
    ] {
        books.assert_refused(&ask(query), "QUERY_PARAMETER_REFUSED").await;
        books.assert_refused(&ask(&format!("a=b&{query}&c")), "QUERY_PARAMETER_REFUSED").await;
    }
    for query in [
        "method=flickr.photos.search",
        "methods=DELETE",
        "paymentMethod=DELETE",
        "contentType=text/plain",
        "$.xgafv=2&$alt=json&fields=a&key=b&quotaUser=c&$userProject=d&prettyPrint=0",
    ] {
        for seen in books.seen(&ask(query)).await {
            assert_eq!(seen.target, format!("/v1/{BOOK}?{query}"));
        }
    }
}
