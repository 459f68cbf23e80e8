//! `X-HTTP-Method-Override`: a GET with a long query and a PATCH, as Google's clients send them over POST.

use serde_json::json;

use super::compressed::gzip;
use crate::harness::{Body, COMPANION, Gate, Req, Setup, TRAIN, Tree, get, reason, token};
use crate::recorder::{Recorder, field, request_line};

const FORM: &str = "application/x-www-form-urlencoded";
const LIST: &str = "/v1/projects/demo/locations/us-central1/operations";

/// A list with a long query, as googleapiclient sends it.
fn overridden(form: &str) -> Req {
    Req::new("POST", COMPANION, LIST)
        .bearer(&token("ana@example.com"))
        .header("x-http-method-override", "GET")
        .header("content-type", FORM)
        .body(Body::Length(form.into()))
}

fn recorded(protocol: Option<&'static str>) -> (Recorder, Gate) {
    let backend = Recorder::start();
    let endpoints = Some(vec![backend.address()]);
    (backend, Gate::start_with(Setup { endpoints, upstream_protocol: protocol, ..Setup::default() }))
}

#[tokio::test]
async fn a_long_get_is_judged_as_a_get_and_forwarded_as_one() {
    let (backend, gate) = recorded(None);
    let form = format!("filter={}&pageSize=7&alt=json", "x".repeat(3000));
    let plain = overridden(&form);
    let chunked = plain.clone().body(Body::Chunked(form.clone().into_bytes()));
    // Java compresses it, and tells the charset.
    let java = Req { headers: plain.headers[..2].to_vec(), ..plain.clone() }
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .header("content-encoding", "gzip")
        .body(Body::Chunked(gzip(form.as_bytes())));
    for request in [plain, chunked, java] {
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, 200);
        }
        for head in backend.take() {
            assert_eq!(request_line(&head), format!("GET {LIST}?{form} HTTP/1.1"));
            for name in ["x-http-method-override", "content-type", "content-encoding", "transfer-encoding"] {
                assert_eq!(field(&head, name), [""; 0], "{name}");
            }
            assert!(field(&head, "content-length").iter().all(|length| *length == "0"));
        }
    }
    assert!(backend.bodies().iter().all(|(_, body)| body.is_empty()));
    for line in gate.audit(6) {
        assert_eq!(line["httpRequest"]["requestMethod"], "GET");
        let payload = &line["protoPayload"];
        assert_eq!(payload["metadata"]["overriddenMethod"], "POST");
        assert_eq!(payload["methodName"], "google.longrunning.Operations.ListOperations");
    }
}

#[tokio::test]
async fn a_long_get_reaches_a_backend_that_speaks_http2() {
    let gate = Gate::start_with(Setup { upstream_protocol: Some("h2c"), ..Setup::default() });
    for answer in gate.over_both(&overridden("pageSize=7")).await {
        assert_eq!(answer.status, 200);
    }
    let requests = gate.backend.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!((request.method.as_str(), request.target), ("GET", format!("{LIST}?pageSize=7")));
        assert_eq!(request.body, "");
    }
}

#[tokio::test]
async fn a_get_without_a_form_and_a_form_beside_a_query_are_forwarded_too() {
    let (backend, gate) = recorded(None);
    let bare = Req { headers: overridden("").headers[..2].to_vec(), ..overridden("") };
    let both = Req { target: format!("{LIST}?alt=json"), ..overridden("pageSize=7") };
    for (request, target) in [
        (bare.clone().body(Body::None), LIST.to_owned()),
        (bare.body(Body::Length(vec![])), LIST.to_owned()),
        (overridden("").body(Body::Chunked(vec![])), LIST.to_owned()),
        (both, format!("{LIST}?alt=json&pageSize=7")),
    ] {
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, 200, "{target}");
        }
        for head in backend.take() {
            assert_eq!(request_line(&head), format!("GET {target} HTTP/1.1"));
        }
    }
}

/// The connection goes on behind it: the form was read to its end.
#[tokio::test]
async fn a_connection_serves_on_after_a_form() {
    let (backend, gate) = recorded(None);
    let mut connection = crate::connection::Connection::open(gate.address).await;
    let chunked = overridden("").body(Body::Chunked(b"pageSize=1".to_vec()));
    for request in [overridden("pageSize=1"), get(), chunked, get()] {
        connection.send(request.to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
    }
    assert_eq!(backend.take().len(), 4);
}

#[tokio::test]
async fn a_form_is_judged_like_a_query() {
    let (backend, gate) = recorded(None);
    let on_an_operation = |form: &str| Req { target: TRAIN.to_owned(), ..overridden(form) };
    let long = format!("filter={}", "x".repeat(9000));
    for (request, status, expected) in [
        (on_an_operation("name=projects/other/locations/l/operations/o"), 400, "REQUEST_BODY_REFUSED"),
        (on_an_operation("a=b;name=x"), 400, "REQUEST_BODY_REFUSED"),
        (on_an_operation("n%61me=x"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("access_token=x"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("_method=DELETE"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("$ct=text/plain"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("a=b\r\n"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("a b"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("a=b#c"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("a=b HTTP/1.1"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("a=%zz"), 400, "REQUEST_BODY_REFUSED"),
        (overridden("a=\u{e9}"), 400, "REQUEST_BODY_REFUSED"),
        (overridden(&long), 414, "REQUEST_TARGET_TOO_LONG"),
        (overridden("").body(Body::Chunked(long.clone().into_bytes())), 414, "REQUEST_TARGET_TOO_LONG"),
        (
            Req { target: format!("{LIST}?{}", &long[..5000]), ..overridden(&long[..5000]) },
            414,
            "REQUEST_TARGET_TOO_LONG",
        ),
        (
            overridden("").header("content-encoding", "br").body(Body::Length(b"x".to_vec())),
            415,
            "REQUEST_BODY_CODING_UNSUPPORTED",
        ),
        (
            overridden("").header("content-encoding", "gzip").body(Body::Length(b"a=b".to_vec())),
            400,
            "REQUEST_BODY_REFUSED",
        ),
    ] {
        for answer in gate.over_both(&request).await {
            let body = format!("{:?}", request.body);
            assert_eq!((answer.status, reason(&answer).as_str()), (status, expected), "{body:.80}");
        }
    }
    for media_type in
        [None, Some("application/json"), Some("text/plain"), Some("multipart/form-data; boundary=x")]
    {
        let mut request = Req { headers: overridden("").headers[..2].to_vec(), ..overridden("a=b") };
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        for answer in gate.over_both(&request).await {
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (400, "REQUEST_BODY_REFUSED".to_owned()), "{media_type:?}");
        }
    }
    assert!(backend.take().is_empty());
}

/// A form is read after the call is authorized: by the GET that it stands for.
#[tokio::test]
async fn an_override_is_authorized_as_the_method_that_it_names() {
    let (backend, gate) = recorded(None);
    let cancel = format!("{TRAIN}:cancel");
    let by = |email: &str, target: &str| {
        Req::new("POST", COMPANION, target).bearer(&token(email)).header("x-http-method-override", "GET")
    };
    // Bob may look, and not cancel. No GET is bound to `:cancel`.
    for (request, status) in [
        (by("bob@example.com", TRAIN), 200),
        (by("bob@example.com", &cancel), 405),
        (by("nobody@example.com", TRAIN), 403),
        (
            Req {
                headers: by("bob@example.com", TRAIN).headers[1..].to_vec(),
                ..by("bob@example.com", TRAIN)
            },
            401,
        ),
        (by("ana@example.com", "/v1/nothing"), 404),
    ] {
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, status, "{} {:?}", request.target, request.headers);
        }
    }
    assert!(backend.take().iter().all(|head| request_line(head) == format!("GET {TRAIN} HTTP/1.1")));
    // What is wrong with the form is for a caller who may read.
    let stranger = Req { target: TRAIN.to_owned(), ..overridden("name=x") };
    let stranger = Req { headers: stranger.headers[1..].to_vec(), ..stranger };
    assert_eq!(gate.http1(&stranger).await.status, 401);
}

#[tokio::test]
async fn every_other_override_is_refused() {
    let (backend, gate) = recorded(None);
    for (sent, name, value) in [
        ("POST", "x-http-method-override", "DELETE"),
        ("POST", "x-http-method-override", "PUT"),
        ("POST", "x-http-method-override", "POST"),
        ("POST", "x-http-method-override", "HEAD"),
        ("POST", "x-http-method-override", "OPTIONS"),
        ("POST", "x-http-method-override", "get"),
        ("POST", "x-http-method-override", "GET, DELETE"),
        ("POST", "x-http-method-override", ""),
        ("GET", "x-http-method-override", "GET"),
        ("GET", "x-http-method-override", "PATCH"),
        ("PUT", "x-http-method-override", "PATCH"),
        ("DELETE", "x-http-method-override", "GET"),
        ("POST", "x-http-method", "GET"),
        ("POST", "x-http-method", "PATCH"),
        ("POST", "x-method-override", "GET"),
        ("POST", "x-method-override", "PATCH"),
        ("POST", "x_http_method_override", "GET"),
    ] {
        let request = Req::new(sent, COMPANION, TRAIN).bearer(&token("ana@example.com")).header(name, value);
        for answer in gate.over_both(&request).await {
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (400, "REQUEST_MALFORMED".to_owned()), "{name}: {value} over {sent}");
        }
    }
    let twice = overridden("a=b").header("x-http-method-override", "GET");
    let both = overridden("a=b").header("x-http-method", "DELETE");
    let away = overridden("a=b").header("connection", "x-http-method-override");
    for request in [twice, both] {
        for answer in gate.over_both(&request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"));
        }
    }
    assert_eq!(gate.http1(&away).await.status, 400);
    assert!(backend.take().is_empty());
}

/// Java has no PATCH in its connections: it sends a POST that names it.
#[tokio::test]
async fn a_patch_over_post_is_judged_and_forwarded_as_a_patch() {
    let tree = books();
    let backend = Recorder::start();
    let gate = Gate::start_with(Setup {
        endpoints: Some(vec![backend.address()]),
        set: vec![
            tree.setting(),
            "services.books={upstream: operations, hosts: [books.localhost]}".to_owned(),
        ],
        ..Setup::default()
    });
    let target = "/v1/projects/library/books/b?updateMask=title";
    let body = json!({ "title": "T" }).to_string();
    let request = Req::new("POST", "books.localhost", target)
        .bearer(&token("ana@example.com"))
        .header("x-http-method-override", "PATCH")
        .header("content-type", "application/json; charset=UTF-8");
    for coded in [false, true] {
        let request = match coded {
            false => request.clone().body(Body::Length(body.clone().into_bytes())),
            true => {
                request.clone().header("content-encoding", "gzip").body(Body::Chunked(gzip(body.as_bytes())))
            }
        };
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        }
        for head in backend.take() {
            assert_eq!(request_line(&head), format!("PATCH {target} HTTP/1.1"));
            assert_eq!(field(&head, "x-http-method-override"), [""; 0]);
            assert_eq!(field(&head, "content-length"), [body.len().to_string()]);
        }
    }
    assert!(backend.bodies().iter().all(|(_, sent)| *sent == body.as_bytes()));
    // The body is judged by the rule of the PATCH.
    let other = json!({ "name": "projects/other/books/b" }).to_string();
    for answer in gate.over_both(&request.body(Body::Length(other.into_bytes()))).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_BODY_REFUSED"));
    }
    assert!(backend.take().is_empty());
}

/// The shipped policies, with a service that has a PATCH which ana may call.
pub fn books() -> Tree {
    let tree = Tree::shipped();
    tree.add_service("books", BOOKS, BOOKS_IAM);
    tree.write(
        "roles/librarian.yaml",
        "name: projects/library/roles/librarian\nincludedPermissions: [books.books.update]\n",
    );
    tree.write(
        "allow/projects/library.yaml",
        "bindings:\n- role: projects/library/roles/librarian\n  members: [user:ana@example.com]\n",
    );
    tree
}

const BOOKS: &str = r#"
type: google.api.Service
config_version: 3
name: books.example.com
apis:
- name: example.books.Books
http:
  rules:
  - selector: example.books.Books.UpdateBook
    patch: '/v1/{name=projects/*/books/*}'
    body: '*'
authentication:
  rules:
  - selector: example.books.Books.UpdateBook
    oauth:
      canonical_scopes: https://www.googleapis.com/auth/cloud-platform
"#;
const BOOKS_IAM: &str = "
service: books.example.com
rules:
- selector: example.books.Books.UpdateBook
  permission: books.books.update
";
