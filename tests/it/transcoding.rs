//! Services whose backend speaks gRPC, called over HTTP with JSON (`transcode: true`).

mod backend;
mod checks;
mod envoy;
mod faults;
mod page;
mod refused;
mod rig;
mod streams;

use serde_json::json;

use self::backend::{Step, error, ok, one};
use self::rig::{Rig, ana, ana_with};
use crate::harness::values;

const BOOK: &str = "/v1/projects/acme/books/b1";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_becomes_one_message_and_its_answer_json() {
    let rig = Rig::start().await;
    let name = "projects/acme/books/b1";
    let book = json!({"name": name, "title": "T", "pageCount": "7", "order": "NEWEST"});
    for method in ["GetBook", "CreateBook", "UpdateBook", "ArchiveBook"] {
        rig.backend.answer(method, one(book.clone()));
    }
    rig.backend.answer("DeleteBook", one(json!({})));
    rig.backend.answer("ListBooks", one(json!({"books": [book], "nextPageToken": "n"})));
    rig.backend.answer("ListTitles", one(json!({"titles": ["a", "b"]})));
    let patch = "/v1/projects/acme/books/b1?updateMask=title,page_count";
    for (request, path, message, answer) in [
        (ana("GET", BOOK), "Library/GetBook", json!({"name": name}), book.clone()),
        (
            ana("GET", "/v1/projects/acme/books?pageSize=5&filter=a+b&order=OLDEST&$alt=json&key=k"),
            "Library/ListBooks",
            json!({"parent": "projects/acme", "pageSize": 5, "filter": "a b", "order": "OLDEST"}),
            json!({"books": [book], "nextPageToken": "n"}),
        ),
        (
            ana("GET", "/v1/projects/acme/titles"),
            "Titles/ListTitles",
            json!({"parent": "projects/acme"}),
            json!(["a", "b"]),
        ),
        (
            ana_with("POST", "/v1/projects/acme/books?book_id=b1", r#"{"title": "T", "pageCount": 7}"#),
            "Library/CreateBook",
            json!({"parent": "projects/acme", "bookId": "b1", "book": {"title": "T", "pageCount": "7"}}),
            book.clone(),
        ),
        (
            ana_with("PATCH", patch, r#"{"title": "T", "name": "projects/acme/books/b1"}"#),
            "Library/UpdateBook",
            json!({"book": {"name": name, "title": "T"}, "updateMask": "title,pageCount"}),
            book.clone(),
        ),
        (ana("DELETE", BOOK), "Library/DeleteBook", json!({"name": name}), json!({})),
        (
            ana_with("POST", &format!("{BOOK}:archive"), r#"{"reason": "old"}"#),
            "Library/ArchiveBook",
            json!({"name": name, "reason": "old"}),
            book.clone(),
        ),
        (
            ana_with("POST", &format!("{BOOK}:archive"), ""),
            "Library/ArchiveBook",
            json!({"name": name}),
            book.clone(),
        ),
    ] {
        let (answered, call) = rig.called(&request).await;
        assert_eq!((call.method.as_str(), call.path), ("POST", format!("/lib.v1.{path}")));
        assert_eq!(call.message, message, "{path}");
        assert_eq!((answered.status, answered.json().unwrap()), (200, answer), "{path}");
        assert_eq!(answered.header("content-type"), Some("application/json; charset=UTF-8"));
        assert_eq!(answered.header("content-length").unwrap(), answered.body.len().to_string());
        assert_eq!(values(&answered.headers, "x-request-id").len(), 1);
        assert!(answered.headers.keys().all(|name| !name.as_str().starts_with("grpc-")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_has_the_fields_of_grpc_and_none_that_speak_of_the_json() {
    let deadline = "services.library.limits={deadline: 7s}".to_owned();
    let rig = Rig::start_with(vec![deadline]).await;
    let request = ana_with("POST", &format!("{BOOK}:archive"), r#"{"reason": "x"}"#)
        .header("accept", "application/json")
        .header("accept-encoding", "gzip")
        .header("grpc-encoding", "gzip")
        .header("grpc-timeout", "1H")
        .header("x-goog-request-params", "name=projects/other/books/b1")
        .header("x-own", "1");
    rig.backend.answer("ArchiveBook", one(json!({})));
    let (_, call) = rig.called(&request).await;
    assert_eq!(call.field("content-type"), "application/grpc");
    assert_eq!(call.field("te"), "trailers");
    assert_eq!(call.field("x-own"), "1");
    let timeout: u64 = call.field("grpc-timeout").strip_suffix('m').unwrap().parse().unwrap();
    assert!((1..=7000).contains(&timeout), "{timeout}");
    for name in ["accept", "accept-encoding", "grpc-encoding", "x-goog-request-params", "content-length"] {
        assert_eq!(call.field(name), "", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_answered_like_its_get_without_a_body() {
    let rig = Rig::start().await;
    rig.backend.answer("GetBook", one(json!({"name": "x"})));
    rig.backend.answer("WatchBooks", one(json!({"name": "x"})));
    rig.backend.answer("DownloadBook", vec![Step::TrailersOnly(error(5, "none"))]);
    for (target, status, length) in [
        (BOOK.to_owned(), 200, Some("12")),
        ("/v1/projects/acme/books:watch".to_owned(), 200, None),
        (format!("{BOOK}:download"), 404, Some("87")),
    ] {
        let request = ana("HEAD", &target);
        let answer = rig.gate.http2(&request).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{target}");
        assert_eq!(answer.header("content-length"), length, "{target}");
        let bytes = rig.gate.raw_to_the_end(request.header("connection", "close").to_http1()).await;
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.ends_with("\r\n\r\n"), "{text}");
        assert_eq!(text.matches("\r\n\r\n").count(), 1, "{text}");
        assert_eq!(rig.backend.take().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_backend_is_one_of_google_with_its_status() {
    let rig = Rig::start().await;
    let details = {
        // google.rpc.Status{code: 9, message: "m", details: [ErrorInfo{reason: "R", domain: "d"}]}
        let info = [&b"\x0a\x01R\x12\x01d"[..]].concat();
        let name = b"type.googleapis.com/google.rpc.ErrorInfo";
        let any = [&[0x0a, name.len() as u8][..], name, &[0x12, info.len() as u8], &info].concat();
        let status = [&b"\x08\x09\x12\x01m\x1a"[..], &[any.len() as u8], &any].concat();
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD_NO_PAD, status)
    };
    let rich = [error(9, "not now"), vec![("grpc-status-details-bin", details)]].concat();
    let expected = json!({"error": {
        "code": 400, "message": "not now", "status": "FAILED_PRECONDITION",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "R", "domain": "d"}],
    }});
    for steps in [
        vec![Step::TrailersOnly(rich.clone())],
        vec![Step::Head(200, &[]), Step::Trailers(rich.clone())],
        vec![Step::Head(200, &[]), Step::Message(json!({"name": "x"})), Step::Trailers(rich)],
    ] {
        rig.backend.answer("GetBook", steps);
        let (answer, _) = rig.called(&ana("GET", BOOK)).await;
        assert_eq!((answer.status, answer.json().unwrap()), (400, expected.clone()));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"));
    }
    for (code, status) in [(1, 499), (4, 504), (5, 404), (7, 403), (8, 429), (12, 501), (14, 503), (16, 401)]
    {
        rig.backend.answer("GetBook", vec![Step::TrailersOnly(error(code, ""))]);
        assert_eq!(rig.called(&ana("GET", BOOK)).await.0.status, status, "{code}");
    }
    // The audit log and the metrics have the status that the client has.
    let lines = rig.gate.audit(22);
    assert_eq!(lines.iter().filter(|line| line["httpRequest"]["status"] == 429).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_an_operation_is_a_message_and_counts_as_one() {
    let rig = Rig::start().await;
    let cancel = "/v1/projects/acme/operations/o1:cancel";
    let name = json!({"name": "projects/acme/operations/o1"});
    for body in ["", "{}", r#"{"name": "projects/acme/operations/o1"}"#] {
        rig.backend.answer("CancelOperation", one(json!({})));
        let (answer, call) = rig.called(&ana_with("POST", cancel, body)).await;
        assert_eq!(call.path, "/google.longrunning.Operations/CancelOperation");
        assert_eq!((call.message, answer.body), (name.clone(), b"{}".to_vec()));
    }
    let done =
        json!({"name": "projects/acme/operations/o1", "done": true, "error": {"code": 1, "message": "c"}});
    rig.backend.answer("GetOperation", one(done.clone()));
    let (answer, _) = rig.called(&ana("GET", "/v1/projects/acme/operations/o1")).await;
    assert_eq!(answer.json().unwrap(), done);
    let metrics = rig.gate.metrics().await;
    let cancelled = metrics
        .lines()
        .find(|line| line.starts_with("opgate_cancel_outcomes_total") && line.contains("\"cancelled\""));
    assert!(cancelled.is_some_and(|line| !line.ends_with(" 0")), "{cancelled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_type_and_a_large_message_pass() {
    let rig = Rig::start().await;
    let data = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, b"a,b\n");
    rig.backend.answer("DownloadBook", one(json!({"contentType": "text/csv", "data": data})));
    let (answer, _) = rig.called(&ana("GET", &format!("{BOOK}:download"))).await;
    assert_eq!((answer.body.as_slice(), answer.header("content-type")), (&b"a,b\n"[..], Some("text/csv")));

    let title = "x".repeat(4 * 1024 * 1024 - 100);
    rig.backend.answer("GetBook", one(json!({"title": title})));
    let (answer, _) = rig.called(&ana("GET", BOOK)).await;
    assert_eq!(answer.json().unwrap()["title"].as_str().unwrap().len(), title.len());
    rig.backend.answer("GetBook", one(json!({"title": "x".repeat(4 * 1024 * 1024)})));
    let (answer, _) = rig.called(&ana("GET", BOOK)).await;
    assert_eq!((answer.status, crate::harness::reason(&answer).as_str()), (502, "UPSTREAM_INVALID"));
    // What was asked for is the client's doing: the endpoint stays.
    for _ in 0..8 {
        rig.gate.http1(&ana("GET", BOOK)).await;
    }
    rig.backend.answer("GetBook", vec![Step::Head(200, &[]), Step::Message(json!({})), ok()]);
    rig.backend.take();
    assert_eq!(rig.called(&ana("GET", BOOK)).await.0.status, 200);
    assert!(rig.gate.metrics().await.contains(r#"kind="untranscodable""#));
}
