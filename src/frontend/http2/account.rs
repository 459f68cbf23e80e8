//! Requests that the HTTP/2 library refuses before a front end sees them.
//!
//! The library does not say which requests it has refused. But the frames that pass say which were opened, so what is
//! missing among those that were handed on was refused: each leaves an audit line and a count all the same.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::engine::{Arrival, Engine};
use crate::listener::flood::ConnectionStats;
use crate::reason::{Denial, Reason};

/// Which requests of a connection were opened, and what became of those that were not handed on.
pub(super) struct StreamAccount {
    engine: Engine,
    stats: Arc<ConnectionStats>,
    peer: Option<SocketAddr>,
    /// Handed on: these leave their own audit line.
    handed: u64,
    told: u64,
    /// What the stats said last time.
    malformed: u64,
    refused: u64,
}

impl StreamAccount {
    pub(super) fn new(engine: Engine, stats: Arc<ConnectionStats>, peer: Option<SocketAddr>) -> Self {
        Self { engine, stats, peer, handed: 0, told: 0, malformed: 0, refused: 0 }
    }

    /// What the connection has counted.
    pub(super) fn stats(&self) -> &ConnectionStats {
        &self.stats
    }

    /// One more was handed on.
    pub(super) fn handed(&mut self) {
        self.handed += 1;
    }

    /// The last one was not, after all.
    pub(super) fn not_handed(&mut self) {
        self.handed -= 1;
    }

    fn unheard(&self) -> u64 {
        self.stats.opened().saturating_sub(self.handed + self.told)
    }

    /// Records every request that was refused before it was handed on. The counts are right once everything that came
    /// is read, and everything that is to be sent is written.
    pub(super) fn settle(&mut self) {
        let mut unheard = self.unheard();
        if unheard > 0 && self.stats.is_blocked() {
            return;
        }
        let (malformed, refused) = (self.stats.malformed(), self.stats.refused());
        let (newly_malformed, newly_refused) = (malformed - self.malformed, refused - self.refused);
        (self.malformed, self.refused) = (malformed, refused);
        if unheard == 0 {
            return;
        }
        if self.stats.has_gone_away() {
            // Opened after the client was told that no more would be served: it knows to come back.
            self.told += unheard;
            return;
        }
        for _ in 0..newly_refused.min(unheard) {
            unheard -= 1;
            self.tell(&Denial::new(Reason::TooManyStreams, "more streams than there may be"), 0);
        }
        let malformed =
            Denial::new(Reason::RequestMalformed, "a rule of HTTP/2 is broken (RFC 9113, section 8)");
        for _ in 0..newly_malformed.min(unheard) {
            unheard -= 1;
            self.tell(&malformed, 0);
        }
        // The rest was answered.
        let too_large = Denial::new(Reason::HeadTooLarge, "the head is larger than its limit");
        for _ in 0..unheard {
            self.tell(&too_large, too_large.reason().entry().status);
        }
    }

    /// The connection is over: so are the requests that were not handed on.
    pub(super) fn close(&mut self, end: &Denial) {
        for _ in 0..self.unheard() {
            self.tell(end, 0);
        }
    }

    fn tell(&mut self, denial: &Denial, status: u16) {
        self.told += 1;
        self.engine.record_refused_head(Arrival::now(), denial.clone(), self.peer, status);
    }
}
