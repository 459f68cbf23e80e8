//! The watch of cancels: what it costs a request while nothing is pending and while 10,000 cancels are, what reading an
//! answer costs, and what a pending cancel takes in memory.

use std::hint::black_box;
use std::time::Instant;

use alloc_counter::count_alloc;
use opgate::cancels::{
    AnswerFacts, Asked, CancelAnswer, CancelOutcome, CancelSettings, Cancels, Instruments, Moment,
    OperationSighting,
};
use opgate::metrics::Metrics;
use opgate::principal::Principal;

use crate::ALLOCATOR;
use crate::measure::nanoseconds;
use crate::table::Row;

const SERVICE: &str = "cloudaicompanion.googleapis.com";
const METHOD: &str = "google.longrunning.Operations.CancelOperation";
const PENDING: usize = 10_000;

fn name(number: usize) -> String {
    format!("projects/demo/locations/us-central1/operations/{number:08}")
}

fn moment() -> Moment {
    Moment { time: opgate::clock::now(), instant: Instant::now() }
}

fn cancel(cancels: &Cancels, name: &str, principal: &Principal) {
    let asked = Asked {
        service: SERVICE,
        method: METHOD,
        name,
        principal: Some(principal),
        request_id: "0123456789abcdef0123456789abcdef",
        at: moment(),
    };
    let sent = cancels.sent(asked).unwrap();
    cancels.answered(sent, CancelAnswer::Accepted, moment());
}

/// Measures it; gives the broken promises.
pub fn run() -> Vec<String> {
    let metrics = Metrics::new().unwrap();
    let instruments = Instruments::register(metrics.registry()).unwrap();
    let cancels = Cancels::new(CancelSettings { tracked: 20_000 }, instruments);
    cancels.serve([(SERVICE, METHOD)].into_iter());
    let print = |name: &str, size: usize, mut call: Box<dyn FnMut() + '_>| {
        let ((allocations, ..), ()) = count_alloc(&mut call);
        let took = nanoseconds(&mut call);
        Row {
            name: name.to_owned(),
            size,
            nanoseconds: took,
            allocations: Some(allocations),
            ..Row::default()
        }
        .print();
    };
    print(
        "cancels, a request, nothing pending",
        0,
        Box::new(|| {
            black_box(cancels.is_any_pending());
        }),
    );

    let principal = Principal::from_email("ana@example.com").unwrap();
    let before = ALLOCATOR.allocated();
    for number in 0..PENDING {
        // As each request brings its own.
        cancel(&cancels, &name(number), &Principal::from_email("ana@example.com").unwrap());
    }
    let grown = ALLOCATOR.allocated() - before;
    let counted = cancels.held_bytes();
    let bytes = Some(grown as f64 / PENDING as f64);
    Row { name: "cancels, memory".to_owned(), size: PENDING, bytes, ..Row::default() }.print();

    print(
        "cancels, a get of another operation",
        PENDING,
        Box::new(|| {
            black_box(
                cancels.is_pending(SERVICE, black_box("projects/demo/locations/us-central1/operations/x")),
            );
        }),
    );
    let known = name(17);
    let running = br#"{"name":"projects/demo/locations/us-central1/operations/00000017","metadata":{"@type":"type.googleapis.com/google.cloud.cloudaicompanion.v1.OperationMetadata","createTime":"2027-01-15T08:00:05.000Z","requestedCancellation":true,"progressPercent":40},"done":false}"#;
    print(
        "cancels, an answer of a pending operation",
        PENDING,
        Box::new(|| {
            let facts = AnswerFacts {
                service: SERVICE,
                name: Some(&known),
                content_type: Some("application/json"),
                content_encoding: None,
                is_masked: false,
            };
            let mut watch = cancels.watch(facts).unwrap();
            watch.push(running);
            assert!(watch.end(METHOD, moment()).is_empty());
        }),
    );
    let item = std::str::from_utf8(running).unwrap();
    let list = format!("{{\"operations\":[{}]}}", vec![item; 1000].join(","));
    print(
        "cancels, a list of 1,000 (each is pending)",
        PENDING,
        Box::new(|| {
            let facts = AnswerFacts {
                service: SERVICE,
                name: None,
                content_type: Some("application/json"),
                content_encoding: None,
                is_masked: false,
            };
            let mut watch = cancels.watch(facts).unwrap();
            list.as_bytes().chunks(16 * 1024).for_each(|piece| watch.push(piece));
            assert!(watch.end(METHOD, moment()).is_empty());
        }),
    );
    let ended = OperationSighting::Ended(CancelOutcome::Cancelled);
    print(
        "cancels, sent, answered, ended",
        PENDING,
        Box::new(|| {
            cancel(&cancels, "projects/demo/operations/another", &principal);
            assert!(
                cancels.seen(SERVICE, "projects/demo/operations/another", ended, METHOD, moment()).is_some()
            );
        }),
    );
    if grown > counted {
        return vec![format!("cancels: {PENDING} take {grown} bytes, and are counted as {counted}")];
    }
    Vec::new()
}
