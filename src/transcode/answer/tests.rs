use bytes::BufMut;
use http::{HeaderName, HeaderValue};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::*;
use crate::transcode::BodyMapping;
use crate::transcode::tests::descriptors::{message_of, method};

#[derive(Debug, Default)]
struct Written {
    status: u16,
    fields: HeaderMap,
    length: Option<u64>,
    body: Vec<u8>,
    has_ended: bool,
}

impl JsonSink for Written {
    fn head(&mut self, status: u16, fields: &HeaderMap, length: Option<u64>) {
        assert_eq!(self.status, 0, "a second head");
        (self.status, self.fields, self.length) = (status, fields.clone(), length);
    }

    fn data(&mut self, data: &[u8]) {
        assert!(self.status != 0 && !self.has_ended);
        self.body.extend_from_slice(data);
    }

    fn end(&mut self) {
        assert!(self.status != 0 && !self.has_ended);
        self.has_ended = true;
    }
}

impl Written {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    fields.iter().map(pair).collect()
}

fn frame(message: &str, json: Value) -> Vec<u8> {
    let message = DynamicMessage::deserialize(message_of(message), json).unwrap().encode_to_vec();
    let mut frame = vec![0];
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.extend(message);
    frame
}

struct Answered<'a> {
    rpc: &'a str,
    response_body: Option<&'a str>,
    format: AnswerFormat,
    head: &'a [(&'a str, &'a str)],
    trailers: Option<&'a [(&'a str, &'a str)]>,
}

const HEAD: &[(&str, &str)] = &[("content-type", "application/grpc")];

impl Default for Answered<'_> {
    fn default() -> Self {
        let trailers: Option<&[(&str, &str)]> = Some(&[("grpc-status", "0")]);
        Self {
            rpc: "lib.Library.CreateBook",
            response_body: None,
            format: AnswerFormat::default(),
            head: HEAD,
            trailers,
        }
    }
}

impl Answered<'_> {
    fn by(&self, pieces: &[&[u8]]) -> Result<Written, AnswerProblem> {
        let method = method(self.rpc, &[], BodyMapping::Nothing, self.response_body).unwrap();
        let mut answer = AnswerTranscoder::new(Arc::new(method), self.format);
        let mut written = Written::default();
        answer.head(200, &map(self.head))?;
        for piece in pieces {
            answer.data(piece, &mut written)?;
        }
        if let Some(trailers) = self.trailers {
            answer.trailers(map(trailers));
        }
        answer.end(&mut written)?;
        assert!(answer.is_done() && written.has_ended);
        Ok(written)
    }
}

#[test]
fn one_message_becomes_one_document_with_its_length() {
    let head = [
        ("content-type", "application/grpc+proto"),
        ("grpc-encoding", "identity"),
        ("grpc-accept-encoding", "gzip"),
        ("x-backend", "b1"),
        ("x-trace-bin", "AA"),
        ("etag", "\"e\""),
    ];
    let book = frame("lib.Book", json!({"name": "shelves/s1/books/b1", "pageCount": "7", "order": "NEWEST"}));
    for pieces in [vec![&book[..]], book.chunks(1).collect()] {
        let written = Answered { head: &head, ..Answered::default() }.by(&pieces).unwrap();
        assert_eq!(written.status, 200);
        assert_eq!(written.text(), r#"{"name":"shelves/s1/books/b1","pageCount":"7","order":"NEWEST"}"#);
        assert_eq!(written.length, Some(written.body.len() as u64));
        assert_eq!(written.field("content-length"), written.body.len().to_string());
        assert_eq!(written.field("content-type"), "application/json; charset=UTF-8");
        assert_eq!((written.field("x-backend"), written.field("etag")), ("b1", "\"e\""));
        assert_eq!(written.fields.len(), 4);
    }
    let format = AnswerFormat { has_enum_numbers: true, is_pretty: true, ..AnswerFormat::default() };
    let written = Answered { format, ..Answered::default() }.by(&[&book]).unwrap();
    assert!(written.text().contains("\n  \"order\": 1\n"), "{}", written.text());
    let format = AnswerFormat { is_head_only: true, ..AnswerFormat::default() };
    let written = Answered { format, ..Answered::default() }.by(&[&book]).unwrap();
    assert_eq!((written.text(), written.field("content-length")), ("", "63"));
}

#[test]
fn an_empty_message_is_an_empty_object() {
    let empty = Answered { rpc: "lib.Library.MergeShelves", ..Answered::default() };
    assert_eq!(empty.by(&[&[0, 0, 0, 0, 0]]).unwrap().text(), "{}");
}

#[test]
fn a_field_of_the_message_is_the_answer_where_the_rule_says_so() {
    let list = json!({"books": [{"name": "b"}], "nextPageToken": "t", "total": "3", "newest": {"name": "b"}});
    let list = frame("lib.ListBooksResponse", list);
    let of = |field, bytes: &[u8]| {
        let answered =
            Answered { rpc: "lib.Library.ListBooks", response_body: Some(field), ..Answered::default() };
        answered.by(&[bytes]).unwrap().json()
    };
    assert_eq!(of("books", &list), json!([{"name": "b"}]));
    assert_eq!(of("next_page_token", &list), json!("t"));
    assert_eq!(of("nextPageToken", &list), json!("t"));
    assert_eq!(of("total", &list), json!("3"));
    assert_eq!(of("newest", &list), json!({"name": "b"}));
    let nothing = [0, 0, 0, 0, 0];
    assert_eq!(of("books", &nothing), json!([]));
    assert_eq!(of("next_page_token", &nothing), json!(""));
    assert_eq!(of("total", &nothing), json!("0"));
    assert_eq!(of("newest", &nothing), json!({}));
}

#[test]
fn an_error_is_one_of_aip_193_with_the_status_of_its_code() {
    let trailers = [("grpc-status", "5"), ("grpc-message", "no book %22b1%22")];
    let expected = json!({"error": {"code": 404, "message": "no book \"b1\"", "status": "NOT_FOUND"}});
    // Behind nothing, behind a message, and as a head alone.
    let book = frame("lib.Book", json!({"name": "x"}));
    let half = &book[..4];
    let nothing: [&[u8]; 0] = [];
    for pieces in [&nothing[..], &[&book[..]], &[half]] {
        let written = Answered { trailers: Some(&trailers), ..Answered::default() }.by(pieces).unwrap();
        assert_eq!((written.status, written.json()), (404, expected.clone()));
    }
    let head = [HEAD, &trailers].concat();
    let written = Answered { head: &head, trailers: None, ..Answered::default() }.by(&[]).unwrap();
    assert_eq!((written.status, written.json()), (404, expected));
    assert_eq!(written.fields.keys().filter(|name| name.as_str().starts_with("grpc")).count(), 0);
    for (code, status) in [("16", 401), ("14", 503), ("1", 499), ("99", 500), ("x", 500), ("-1", 500)] {
        let trailers = [("grpc-status", code)];
        let written = Answered { trailers: Some(&trailers), ..Answered::default() }.by(&[]).unwrap();
        assert_eq!(written.status, status, "{code}");
    }
}

fn stream<'a>(stream: StreamFormat, trailers: &'a [(&'a str, &'a str)]) -> Answered<'a> {
    Answered {
        rpc: "lib.Library.WatchBooks",
        format: AnswerFormat { stream, ..AnswerFormat::default() },
        trailers: Some(trailers),
        ..Answered::default()
    }
}

#[test]
fn the_messages_of_a_stream_follow_each_other_in_three_formats() {
    let (one, two) = (frame("lib.Book", json!({"name": "1"})), frame("lib.Book", json!({"name": "2"})));
    let both = [one.clone(), two.clone()].concat();
    let ok = [("grpc-status", "0")];
    let lost = [("grpc-status", "15"), ("grpc-message", "lost")];
    let error = r#"{"error":{"code":500,"message":"lost","status":"DATA_LOSS"}}"#;
    for (format, kind, whole, broken, none) in [
        (
            StreamFormat::Array,
            "application/json; charset=UTF-8",
            "[{\"name\":\"1\"},\n{\"name\":\"2\"}]".to_owned(),
            format!("[{{\"name\":\"1\"}},\n{error}]"),
            "[]",
        ),
        (
            StreamFormat::Lines,
            "application/x-ndjson",
            "{\"name\":\"1\"}\n{\"name\":\"2\"}\n".to_owned(),
            format!("{{\"name\":\"1\"}}\n{error}\n"),
            "",
        ),
        (
            StreamFormat::Events,
            "text/event-stream",
            "data: {\"name\":\"1\"}\n\ndata: {\"name\":\"2\"}\n\n".to_owned(),
            format!("data: {{\"name\":\"1\"}}\n\ndata: {error}\n\n"),
            "",
        ),
    ] {
        for pieces in [vec![&both[..]], vec![&one[..], &two[..]], both.chunks(3).collect()] {
            let written = stream(format, &ok).by(&pieces).unwrap();
            assert_eq!((written.status, written.length, written.field("content-type")), (200, None, kind));
            assert_eq!(written.text(), whole);
        }
        assert_eq!(stream(format, &lost).by(&[&one]).unwrap().text(), broken);
        assert_eq!(stream(format, &ok).by(&[]).unwrap().text(), none);
        // Before the first message, an error is the answer.
        let written = stream(format, &lost).by(&[]).unwrap();
        assert_eq!((written.status, &written.json()["error"]["code"]), (500, &json!(500)));
    }
}

#[test]
fn a_body_of_any_type_is_passed_as_it_is() {
    let part = |data| frame("google.api.HttpBody", json!({"contentType": "text/csv", "data": data}));
    let blob = Answered { rpc: "lib.Library.GetBlob", ..Answered::default() };
    let written = blob.by(&[&part("YSxi")]).unwrap();
    assert_eq!((written.text(), written.field("content-type")), ("a,b", "text/csv"));
    let stream = Answered { rpc: "lib.Library.Download", ..Answered::default() };
    let written = stream.by(&[&part("YSxi"), &part("LGM=")]).unwrap();
    assert_eq!((written.text(), written.field("content-type"), written.length), ("a,b,c", "text/csv", None));
    let written = blob.by(&[&[0, 0, 0, 0, 0]]).unwrap();
    assert_eq!((written.text(), written.field("content-type")), ("", "application/octet-stream"));
    let bad = frame("google.api.HttpBody", json!({"contentType": "a\r\nb: c", "data": ""}));
    assert!(matches!(blob.by(&[&bad]), Err(AnswerProblem::Message(_))));
}

#[test]
fn what_is_not_an_answer_of_grpc_is_not_passed_on() {
    let book = frame("lib.Book", json!({"name": "x"}));
    let unary = Answered::default;
    for (status, kind) in
        [(503, "application/grpc"), (200, "text/html"), (200, "application/grpc-web"), (200, "")]
    {
        let method = method("lib.Library.CreateBook", &[], BodyMapping::Nothing, None).unwrap();
        let mut answer = AnswerTranscoder::new(Arc::new(method), AnswerFormat::default());
        let head = map(&[("content-type", kind)]);
        assert!(matches!(answer.head(status, &head), Err(AnswerProblem::NotGrpc(_))), "{status} {kind}");
    }
    assert!(unary().by(&[]).is_err(), "no message");
    assert!(unary().by(&[&book, &book]).is_err(), "two messages");
    assert!(unary().by(&[&book[..7]]).is_err(), "half a message");
    assert!(unary().by(&[&[0, 0, 0, 0, 1, 0xff]]).is_err(), "not of its type");
    assert!(unary().by(&[&[1, 0, 0, 0, 0]]).is_err(), "compressed");
    assert!(unary().by(&[&[0, 0xff, 0, 0, 0]]).is_err(), "too large");
    assert!(Answered { trailers: None, ..unary() }.by(&[&book]).is_err(), "no status");
    assert!(Answered { trailers: Some(&[]), ..unary() }.by(&[&book]).is_err(), "no status in the trailers");
}

/// An Any whose type is not described: to leave it out would tell the client something else.
#[test]
fn a_message_that_json_cannot_write_is_told_so() {
    let unknown = json!({"@type": "type.googleapis.com/lib.Inner", "text": "x"});
    let mut bytes = frame("lib.ListBooksResponse", json!({"details": unknown}));
    let at = bytes.windows(5).position(|window| window == b"Inner").unwrap();
    bytes[at] = b'X';
    let list = Answered { rpc: "lib.Library.ListBooks", ..Answered::default() };
    let problem = list.by(&[&bytes]).unwrap_err();
    assert!(problem.to_string().contains("lib.Xnner"), "{problem}");
}
