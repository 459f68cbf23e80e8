//! Reloads, upgrades and drains under load: every request is answered, none is lost, none is forwarded twice.
//!
//! `make handover` sends a million requests over a hundred events; the suite sends a few thousand. Each try of a
//! request has a number of its own, which is the name of the operation. The numbers that clients got an answer for,
//! that the backend saw, and that the audit log says were sent must be the same, each once.

mod backend;
mod books;
mod generations;
mod http1;
mod http2;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::backend::serve_backend;
use self::books::{Books, Retries};
use self::generations::Generations;
use crate::harness::parameter;

/// Clients of HTTP/1.1. Every second one idles between two requests; every fourth uses a connection per request.
const HTTP1_CLIENTS: u64 = 8;
/// Connections of HTTP/2, and streams at a time on each.
const HTTP2_CONNECTIONS: u64 = 4;
const STREAMS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_or_doubled_over_reloads_upgrades_and_drains() {
    let requests = parameter("OPGATE_HANDOVER_REQUESTS", 3_000);
    let events = parameter("OPGATE_HANDOVER_EVENTS", 6);
    let began = Instant::now();
    let books = Arc::new(Books::new(requests));
    let backend = serve_backend(books.clone()).await;
    let mut generations = Generations::begin(backend).await;
    let address = generations.address();

    let mut clients = tokio::task::JoinSet::new();
    for number in 0..HTTP1_CLIENTS {
        let habit = http1::Habit {
            pause: Duration::from_millis(number % 2 * (number + 1)),
            keeps_alive: number % 4 != 3,
        };
        clients.spawn(http1::client(books.clone(), address, habit));
    }
    for _ in 0..HTTP2_CONNECTIONS {
        clients.spawn(http2::client(books.clone(), address, STREAMS));
    }
    let answered = async {
        while let Some(ended) = clients.join_next().await {
            // The test fails as soon as one client does, not after the others end.
            ended.unwrap();
        }
    };
    let happened = async {
        for event in 0..events {
            books.until_answered(requests * (event + 1) / (events + 2)).await;
            generations.happen(event).await;
        }
    };
    tokio::join!(answered, happened);
    let told = generations.end().await;

    let Retries { ended, refused, unsent } = books.retries();
    println!(
        "{requests} requests over {told} in {:.1} s: all answered; tried again: {ended} on a connection that had ended, \
         {refused} on a stream behind a GOAWAY, {unsent} not sent at all",
        began.elapsed().as_secs_f64(),
    );
    generations.read_audit(&books);
    books.agree();
}
