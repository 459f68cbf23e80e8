//! What is read of answers: each end, masks, gzip, pieces.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const NAME: &str = "projects/p/operations/o";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn of_one() -> AnswerFacts<'static> {
    AnswerFacts {
        service: SERVICE,
        name: Some(NAME),
        content_type: Some("application/json; charset=UTF-8"),
        content_encoding: None,
        is_masked: false,
    }
}

fn of_list() -> AnswerFacts<'static> {
    AnswerFacts { name: None, ..of_one() }
}

impl Bench {
    /// Shows an answer in pieces of this size, and gives the outcomes that it told of.
    fn answer(&self, facts: AnswerFacts<'_>, body: &[u8], size: usize, seconds: u64) -> Vec<CancelOutcome> {
        let Some(mut watch) = self.cancels.watch(facts) else { return Vec::new() };
        for piece in body.chunks(size) {
            watch.push(piece);
        }
        let ends = watch.end("reader", self.at(seconds));
        assert!(watch.end("reader", self.at(seconds)).is_empty(), "once");
        ends.iter().map(|end| end.outcome).collect()
    }

    fn skipped(&self, why: &str) -> u64 {
        self.sample(&format!("opgate_cancel_watch_skipped_total{{why=\"{why}\"}}")).unwrap()
    }
}

/// Bodies with what they say, without a field mask and with one.
fn bodies() -> Vec<(&'static str, Option<OperationSighting>, Option<OperationSighting>)> {
    use CancelOutcome::{Cancelled, Failed, Succeeded};
    use OperationSighting::{Ended, Running};
    let both = |sighting| (Some(sighting), Some(sighting));
    let whole = |sighting| (Some(sighting), None);
    [
        (r#"{"done":true,"error":{"code":1}}"#, both(Ended(Cancelled))),
        (r#"{"error":{"code":"1","message":"x"},"done":true,"name":"other"}"#, both(Ended(Cancelled))),
        (r#"{"done":true,"error":{"code":"CANCELLED"}}"#, both(Ended(Cancelled))),
        (r#"{"done":true,"error":{"code":1.0}}"#, both(Ended(Cancelled))),
        (r#"{"done":true,"error":{"code":10}}"#, both(Ended(Failed))),
        (r#"{"done":true,"error":{"code":"DEADLINE_EXCEEDED"}}"#, both(Ended(Failed))),
        (r#"{"done":true,"response":{}}"#, both(Ended(Succeeded))),
        (r#"{"done":true,"error":{"message":"x"}}"#, whole(Ended(Failed))),
        (r#"{"done":true,"response":null,"error":null}"#, whole(Ended(Succeeded))),
        (r#"{"done":true}"#, whole(Ended(Succeeded))),
        (r#"{"done":false}"#, both(Running)),
        (r#"{"name":"x","metadata":{"done":true}}"#, whole(Running)),
        ("{}", whole(Running)),
        (r#"{"done":true,"done":false}"#, (None, None)),
        (r#"{"done":"true"}"#, (None, None)),
        (r#"{"done":true,"error":[]}"#, (None, None)),
        (r#"{"done":true,"error":{"code":1,"code":2}}"#, (None, None)),
        (r#"{"done":true"#, (None, None)),
        ("[]", (None, None)),
        ("", (None, None)),
        (r#"{"done":true}x"#, (None, None)),
    ]
    .map(|(body, (whole, masked))| (body, whole, masked))
    .to_vec()
}

#[test]
fn an_answer_says_how_an_operation_ended_in_any_pieces_plain_and_gzip() {
    for (body, unmasked, masked) in bodies() {
        for (is_masked, expected) in [(false, unmasked), (true, masked)] {
            for size in [1, 2, 7, 4096] {
                for coding in [None, Some("gzip"), Some("X-GZIP"), Some("identity")] {
                    let bench = Bench::new(10);
                    bench.accept(NAME, 0);
                    let facts = AnswerFacts { is_masked, content_encoding: coding, ..of_one() };
                    let is_gzip = coding.is_some_and(|coding| coding != "identity");
                    let bytes = if is_gzip { gzip(body.as_bytes()) } else { body.as_bytes().to_vec() };
                    let told = bench.answer(facts, &bytes, size, 1000);
                    let context = format!("{body} masked: {is_masked}, in {size}, {coding:?}");
                    match expected {
                        Some(OperationSighting::Ended(outcome)) => assert_eq!(told, [outcome], "{context}"),
                        Some(OperationSighting::Running) | None => {
                            assert!(told.is_empty(), "{context}");
                            // Only a sighting makes the watch go on.
                            bench.cancels.update(bench.at(4000));
                            let is_renewed = bench.cancels.is_any_pending();
                            assert_eq!(is_renewed, expected.is_some(), "{context}");
                            let skipped: u64 =
                                ["malformed", "mask"].iter().map(|why| bench.skipped(why)).sum();
                            assert_eq!(skipped, u64::from(expected.is_none()), "{context}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_list_tells_of_all_operations_that_are_pending_and_of_no_others() {
    let bench = Bench::new(10);
    for name in ["a/1", "a/2", "a/3", "b/1"] {
        bench.accept(name, 0);
    }
    let body = br#"{"operations":[
        {"name":"a/1","done":true,"error":{"code":1}},
        {"name":"a/0","done":true,"response":{}},
        {"name":"a\/2","metadata":{"operations":[{"name":"a/3","done":true}]}},
        {"done":true},
        {"name":"b/1","done":true,"response":{"done":false}},
        {"name":"a/3","done":true,"done":true}],"nextPageToken":"x"}"#;
    for size in [1, 3, 10_000] {
        let cut = bench.answer(of_list(), &body[..body.len() - 1], size, 1);
        assert_eq!(cut, [], "a list that is cut says nothing");
    }
    let told = bench.answer(of_list(), body, 5, 2);
    assert_eq!(told, [CancelOutcome::Cancelled, CancelOutcome::Succeeded]);
    assert!(bench.cancels.is_pending(SERVICE, "a/2") && bench.cancels.is_pending(SERVICE, "a/3"));
    assert_eq!(bench.skipped("malformed"), 4);
    assert_eq!(bench.answer(AnswerFacts { service: "t.example.com", ..of_list() }, body, 5, 2), []);
}

#[test]
fn answers_are_watched_only_while_they_can_tell_something() {
    let bench = Bench::new(10);
    assert!(bench.cancels.watch(of_one()).is_none() && bench.cancels.watch(of_list()).is_none());
    bench.accept("another", 0);
    assert!(bench.cancels.watch(of_one()).is_none());
    assert!(bench.cancels.watch(of_list()).is_some());
    bench.accept(NAME, 0);
    assert!(bench.cancels.watch(of_one()).is_some());
    assert!(bench.cancels.watch(AnswerFacts { content_type: None, ..of_one() }).is_some());
    assert_eq!((bench.skipped("encoding"), bench.skipped("content_type")), (0, 0));
    for coding in ["br", "zstd", "deflate", "gzip, gzip"] {
        assert!(bench.cancels.watch(AnswerFacts { content_encoding: Some(coding), ..of_one() }).is_none());
    }
    for kind in ["application/x-protobuf", "text/html", "application/javascript"] {
        assert!(bench.cancels.watch(AnswerFacts { content_type: Some(kind), ..of_one() }).is_none());
    }
    assert_eq!((bench.skipped("encoding"), bench.skipped("content_type")), (4, 3));
}

#[test]
fn gzip_is_read_up_to_its_bounds() {
    use CancelOutcome::Cancelled;
    let padded = |bytes: usize, noise: bool| {
        let mut state = 1_u64;
        let padding: String = (0..bytes)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if noise { char::from(b'a' + (state >> 33) as u8 % 26) } else { 'x' }
            })
            .collect();
        format!(
            r#"{{"metadata":"{padding}","operations":[{{"name":"{NAME}","done":true,"error":{{"code":1}}}}],"done":true,"error":{{"code":1}}}}"#
        )
    };
    let gzipped = |facts: AnswerFacts<'static>| AnswerFacts { content_encoding: Some("gzip"), ..facts };
    for (facts, bytes, noise, expected) in [
        (of_one(), 1_000_000, true, Some(Cancelled)),
        (of_one(), 1_100_000, true, None),
        (of_list(), 8_000_000, true, Some(Cancelled)),
        (of_list(), 8_500_000, true, None),
        // More than a hundred times its bytes.
        (of_one(), 900_000, false, None),
    ] {
        let bench = Bench::new(10);
        bench.accept(NAME, 0);
        let told = bench.answer(gzipped(facts), &gzip(padded(bytes, noise).as_bytes()), 16 * 1024, 1);
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{bytes} {noise}");
        assert_eq!(bench.skipped("too_long"), u64::from(expected.is_none()));
        // Without a coding there is no bound: nothing is held.
        let bench = Bench::new(10);
        bench.accept(NAME, 0);
        assert_eq!(bench.answer(facts, padded(bytes, noise).as_bytes(), 16 * 1024, 1), [Cancelled]);
    }
}

#[test]
fn gzip_that_is_cut_broken_or_goes_on_says_nothing() {
    let body = gzip(br#"{"done":true,"response":{}}"#);
    let mut broken = body.clone();
    *broken.last_mut().unwrap() ^= 1;
    let mut wrong_sum = body.clone();
    let sum = wrong_sum.len() - 6;
    wrong_sum[sum] ^= 1;
    for bytes in [
        body[..body.len() - 1].to_vec(),
        body[..body.len() - 9].to_vec(),
        body[..12].to_vec(),
        broken,
        wrong_sum,
        [body.clone(), body.clone()].concat(),
        [&body[..], b"x"].concat(),
        b"{}".to_vec(),
        Vec::new(),
    ] {
        for size in [1, 1000] {
            let bench = Bench::new(10);
            bench.accept(NAME, 0);
            let facts = AnswerFacts { content_encoding: Some("gzip"), ..of_one() };
            assert_eq!(bench.answer(facts, &bytes, size, 1), [], "{}", bytes.escape_ascii());
            assert_eq!(bench.skipped("malformed"), 1, "{}", bytes.escape_ascii());
            assert!(bench.cancels.is_any_pending());
        }
    }
}

#[test]
fn a_list_tells_of_so_many_and_no_more() {
    let bench = Bench::new(3000);
    let names: Vec<String> = (0..1500).map(|number| format!("a/{number}")).collect();
    names.iter().for_each(|name| bench.accept(name, 0));
    let items: Vec<String> =
        names.iter().map(|name| format!(r#"{{"name":"{name}","done":true,"response":{{}}}}"#)).collect();
    let body = format!(r#"{{"operations":[{}]}}"#, items.join(","));
    assert_eq!(bench.answer(of_list(), body.as_bytes(), 4096, 1).len(), 1000);
    assert_eq!(bench.skipped("too_long"), 1);
    assert_eq!(bench.cancels.pending(usize::MAX).len(), 500);
}
