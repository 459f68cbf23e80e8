//! Chunked bodies: a malformed one runs nothing at a backend, though some backends would repair it.

use super::assert_no_differences;
use super::books::Books;
use super::case::Case;
use super::scene::Scene;

/// What RFC 9112, section 7.1 does not allow, each before or after a good chunk.
const MALFORMED: &[(&str, &str)] = &[
    ("bare LF after the size", "2\n{}\r\n0\r\n\r\n"),
    ("bare LF after the data", "2\r\n{}\n0\r\n\r\n"),
    ("bare LF at the end", "2\r\n{}\r\n0\n\n"),
    ("bare CR after the size", "2\r{}\r\n0\r\n\r\n"),
    ("a blank after the size", "2 \r\n{}\r\n0\r\n\r\n"),
    ("a tab after the size", "2\t\r\n{}\r\n0\r\n\r\n"),
    ("a blank before the size", " 2\r\n{}\r\n0\r\n\r\n"),
    ("a hexadecimal prefix", "0x2\r\n{}\r\n0\r\n\r\n"),
    ("a sign", "+2\r\n{}\r\n0\r\n\r\n"),
    ("a negative size", "-2\r\n{}\r\n0\r\n\r\n"),
    ("an underscore", "0_2\r\n{}\r\n0\r\n\r\n"),
    ("no size", "\r\n{}\r\n0\r\n\r\n"),
    ("no size at the end", "2\r\n{}\r\n\r\n\r\n"),
    ("an extension and no size", ";a=b\r\n{}\r\n0\r\n\r\n"),
    ("no hexadecimal digit", "g\r\n{}\r\n0\r\n\r\n"),
    ("a size past 64 bits", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    ("a size that wraps to two", "10000000000000002\r\n{}\r\n0\r\n\r\n"),
    ("less data than it says", "3\r\n{}\r\n0\r\n\r\n"),
    ("more data than it says", "1\r\n{}\r\n0\r\n\r\n"),
    ("no line end after the data", "2\r\n{}0\r\n\r\n"),
    ("bare LF in an extension", "2;a\nb\r\n{}\r\n0\r\n\r\n"),
    ("bare CR in an extension", "2;a\rb\r\n{}\r\n0\r\n\r\n"),
    ("NUL in an extension", "2;a\0b\r\n{}\r\n0\r\n\r\n"),
    ("a control byte in an extension", "2;a=\u{1}\r\n{}\r\n0\r\n\r\n"),
    (
        "an extension of the last chunk that hides a request",
        "2\r\n{}\r\n0;\nGET /v1/projects/p/things/root HTTP/1.1\r\n\r\n",
    ),
    ("a request line where trailers are", "2\r\n{}\r\n0\r\nGET /v1/projects/p/things/root HTTP/1.1\r\n\r\n"),
    ("a trailer without a name", "2\r\n{}\r\n0\r\n: b\r\n\r\n"),
    ("a blank before a trailer's colon", "2\r\n{}\r\n0\r\na : b\r\n\r\n"),
    ("a folded trailer", "2\r\n{}\r\n0\r\na: b\r\n c\r\n\r\n"),
    ("bare LF after a trailer", "2\r\n{}\r\n0\r\na: b\n\r\n"),
];
const WELL_FORMED: &[(&str, &str, usize)] = &[
    ("one chunk", "2\r\n{}\r\n0\r\n\r\n", 2),
    ("two chunks", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 2),
    ("zeros before the size", "0002\r\n{}\r\n0\r\n\r\n", 2),
    ("capital digits", "A\r\n{       }\n\r\n0\r\n\r\n", 10),
];
const UPLOAD: &str = "/v1/projects/p/things/x";
const TEST: &str = "/v1/projects/p/things/x:testIamPermissions";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_chunk_runs_nothing_at_a_backend() {
    let Some(scene) = Scene::start(Books::keeping()) else { return };
    let (mut cases, mut wanted) = (Vec::new(), Vec::new());
    for backend in scene.backends() {
        for (method, target) in [("PUT", UPLOAD), ("POST", TEST)] {
            let case =
                || Case::new(method, &backend.host(), target).header("content-type", "application/json");
            for (what, chunks) in MALFORMED {
                cases.push(case().chunks(*chunks));
                wanted.push((backend.name, *what, None));
            }
            for (what, chunks, length) in WELL_FORMED {
                cases.push(case().chunks(*chunks));
                wanted.push((backend.name, *what, Some(*length)));
            }
        }
    }
    let outcomes = scene.ask(cases).await;
    let mut failures = Vec::new();
    for (outcome, (backend, what, length)) in outcomes.iter().zip(wanted) {
        // nginx answers from a location without waiting for the body.
        let waits = !backend.starts_with("nginx");
        let uploads = outcome.case.request.method == "PUT";
        let good = match length {
            None => {
                let refused = outcome.seen.is_none_or(|status| status == 400);
                (refused || !waits) && (outcome.entry.ran.is_empty() || (!waits && uploads))
            }
            Some(length) => {
                let whole = |ran: &super::books::Ran| ran.length == length || !waits || !uploads;
                outcome.seen == Some(200) && outcome.entry.ran.iter().all(whole)
            }
        };
        if !good {
            failures.push(format!(
                "{what} at {backend}: {:?}, ran {:?}: {}",
                outcome.seen,
                outcome.ran(),
                outcome.case
            ));
        }
    }
    eprintln!(
        "{} chunked bodies over {} backends, {} failures",
        outcomes.len(),
        scene.backends().len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_no_differences("chunked bodies", &scene.books.differences(), |_| None);
    assert_eq!(scene.books.unread(), [""; 0], "a backend was sent what it cannot read");
}
