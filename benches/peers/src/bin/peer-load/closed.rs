//! HTTP/1.1 from many connections, each with a thread of its own that blocks: the cheapest load there is, one write and one
//! read for each request.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::http1::Connection;
use crate::job::{Credential, Job};
use crate::tally::Tally;
use crate::{Failure, wait_for_the_start};

/// A connection gives up after this many wrong answers: what is broken need not be measured to the end.
const MOST_WRONG: usize = 20;

pub fn run(job: &Job) -> Result<Tally, Failure> {
    let (ready, go) = (Barrier::new(job.connections + 1), Barrier::new(job.connections + 1));
    let start = std::sync::OnceLock::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..job.connections)
            .map(|number| {
                let (ready, go, start) = (&ready, &go, &start);
                scope.spawn(move || {
                    let connection = Connection::open(job);
                    ready.wait();
                    go.wait();
                    let start = *start.get_or_init(Instant::now);
                    Client { job, number, start, connection: connection.ok(), tally: Tally::default() }.send()
                })
            })
            .collect();
        ready.wait();
        let started = wait_for_the_start();
        let _ = start.set(Instant::now());
        go.wait();
        let mut all = Tally::default();
        for thread in threads {
            all.add(thread.join().map_err(|_| "a thread of the load has panicked")?);
        }
        started.map(|()| all)
    })
}

/// One connection, and what came back on it.
struct Client<'a> {
    job: &'a Job,
    number: usize,
    start: Instant,
    connection: Option<Connection>,
    tally: Tally,
}

impl Client<'_> {
    fn send(mut self) -> Tally {
        let end = self.start + self.job.time;
        for round in 0.. {
            let Some(begin) = self.wait_for_turn(round, end) else { break };
            let token = match self.job.next_credential() {
                Credential::None => None,
                Credential::Token(token) => Some(token),
                Credential::UsedUp => break,
            };
            let outcome = self.exchange(token);
            self.tally.count(outcome, begin.elapsed());
            if self.tally.wrong_answers() >= MOST_WRONG {
                break;
            }
        }
        self.tally.elapsed = self.start.elapsed();
        self.tally
    }

    /// When the next request begins. At a fixed rate, each connection has its own times. A request that could not leave in
    /// time, because the one before it was not answered, has waited since then: that time counts.
    fn wait_for_turn(&self, round: usize, end: Instant) -> Option<Instant> {
        let now = Instant::now();
        let Some(rate) = self.job.rate else { return (now < end).then_some(now) };
        let number = (round * self.job.connections + self.number) as f64;
        let turn = self.start + Duration::from_secs_f64(number / rate);
        if turn >= end {
            return None;
        }
        match turn.checked_duration_since(now) {
            None => Some(turn),
            Some(left) => {
                thread::sleep(left);
                // What this machine's own timer is late is not the proxy's.
                Some(Instant::now())
            }
        }
    }

    fn exchange(&mut self, token: Option<&str>) -> Result<(), String> {
        if self.connection.as_ref().is_none_or(|connection| connection.closing) {
            self.tally.reconnects += 1;
            self.connection = Some(Connection::open(self.job).map_err(|error| error.to_string())?);
        }
        let Some(connection) = &mut self.connection else { return Err("no connection".to_owned()) };
        match connection.exchange(self.job, token) {
            Ok(answer) => self.job.judge(answer.status, answer.length),
            Err(error) => {
                self.connection = None;
                Err(error.to_string())
            }
        }
    }
}
