use std::future::poll_fn;
use std::task::Poll;

use super::*;

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, b"x")
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn guard(resets: usize) -> (FloodGuard, Arc<ConnectionStats>) {
    let stats = Arc::new(ConnectionStats::default());
    (FloodGuard::new(stats.clone(), 0, resets, Duration::from_secs(10)), stats)
}

#[tokio::test(start_paused = true)]
async fn a_request_is_opened_once_by_the_end_of_its_fields() {
    let (mut guard, stats) = guard(10);
    guard.came(&frame(HEADERS, 0, 1, b"x"));
    assert_eq!(stats.opened(), 0);
    guard.came(&frame(CONTINUATION, END_HEADERS, 1, b"x"));
    assert_eq!(stats.opened(), 1);
    // Trailers open nothing.
    guard.came(&frame(HEADERS, END_HEADERS | END_STREAM, 1, b"x"));
    assert_eq!(stats.opened(), 1);
    guard.came(&request(5));
    assert_eq!(stats.opened(), 2);
    // Nor does what comes after the last stream that is served.
    guard.went(&frame(GOAWAY, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 0]));
    guard.came(&request(7));
    assert_eq!(stats.opened(), 2);
    assert!(stats.has_gone_away());
}

#[tokio::test(start_paused = true)]
async fn resets_by_either_side_use_up_the_same_credit() {
    let (mut guard, stats) = guard(10);
    for stream in 0..5 {
        guard.came(&request(2 * stream + 1));
        guard.came(&reset(2 * stream + 1, 8));
    }
    for stream in 5..10 {
        guard.went(&reset(2 * stream + 1, PROTOCOL_ERROR));
    }
    // The server's own faults, and a body that it does not want any more, do not count against the client.
    for code in [0, 2, 8] {
        guard.went(&reset(31, code));
    }
    assert_eq!((stats.flood(), stats.malformed()), (None, 5));
    guard.went(&reset(33, REFUSED_STREAM));
    assert_eq!((stats.flood(), stats.refused()), (Some(Flood::Resets), 1));
    assert!(guard.is_over());
}

#[tokio::test(start_paused = true)]
async fn answers_and_time_give_resets_back() {
    let (mut guard, stats) = guard(10);
    for stream in 0..1000 {
        let stream = 4 * stream + 1;
        guard.came(&[request(stream), request(stream + 2)].concat());
        guard.came(&reset(stream, 8));
        guard.went(&frame(HEADERS, END_HEADERS | END_STREAM, stream + 2, b"x"));
    }
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(1)).await;
        guard.came(&reset(1, 8));
    }
    assert_eq!(stats.flood(), None);
    for _ in 0..20 {
        guard.came(&reset(1, 8));
    }
    assert_eq!(stats.flood(), Some(Flood::Resets));
}

#[tokio::test(start_paused = true)]
async fn frames_that_serve_nothing_run_out() {
    for kind in [SETTINGS, PING, 2, 8, 10, 0xbe] {
        let (mut guard, stats) = guard(10);
        for _ in 0..IDLE_FRAMES {
            guard.came(&frame(kind, 0, 0, &[0; 8]));
        }
        assert_eq!(stats.flood(), None, "{kind}");
        guard.came(&frame(kind, 0, 0, &[0; 8]));
        assert_eq!(stats.flood(), Some(Flood::IdleFrames), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn work_and_time_earn_frames() {
    let (mut guard, stats) = guard(10);
    for stream in 0..2000 {
        guard.came(&request(2 * stream + 1));
        // A long answer, of which each piece is acknowledged.
        guard.went(&frame(HEADERS, END_HEADERS, 2 * stream + 1, b"x"));
        for _ in 0..10 {
            guard.went(&frame(DATA, 0, 2 * stream + 1, &[0; 16]));
            guard.came(
                &[frame(8, 0, 0, &[0; 4]), frame(8, 0, 1, &[0; 4]), frame(PING, 0, 0, &[0; 8])].concat(),
            );
        }
    }
    for _ in 0..3600 {
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..50 {
            guard.came(&frame(PING, 0, 0, &[0; 8]));
        }
    }
    assert_eq!(stats.flood(), None);
}

#[tokio::test(start_paused = true)]
async fn fields_that_do_not_end_are_late() {
    let (mut guard, stats) = guard(10);
    let start = Instant::now();
    guard.came(&frame(HEADERS, 0, 1, b"x"));
    let trickle = frame(CONTINUATION, 0, 1, &[0; 200]);
    for byte in &trickle {
        guard.came(&[*byte]);
        let wait = tokio::time::timeout(
            Duration::from_secs(1),
            poll_fn(|context| {
                guard.waits(context);
                if stats.flood().is_some() { Poll::Ready(()) } else { Poll::Pending }
            }),
        );
        if wait.await.is_ok() {
            break;
        }
    }
    assert_eq!(stats.flood(), Some(Flood::SlowHead));
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_pause_between_frames_is_none_within_one() {
    let (mut guard, stats) = guard(10);
    guard.came(&frame(HEADERS, END_HEADERS, 1, b"x"));
    guard.came(&frame(DATA, 0, 1, &[0; 100])[..50]);
    let pause = poll_fn(|context| {
        guard.waits(context);
        if stats.flood().is_some() { Poll::Ready(()) } else { Poll::Pending }
    });
    assert!(tokio::time::timeout(Duration::from_secs(100), pause).await.is_err());
}
