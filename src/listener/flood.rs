//! Protection against HTTP/2 floods: watches the frames of a connection in both directions.
//!
//! The h2 library bounds what a connection may hold: streams, header blocks, small DATA frames. It does not bound what
//! a connection may cost: resets, pings and settings can go on for ever, each a little work and none of it a request.
//! So work that serves no request is counted here against work that does, and a connection that has used up its credit
//! is ended. The library also refuses malformed requests by itself, without a trace: here they are counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;

use super::frames::{CONTINUATION, DATA, Frame, Frames, GOAWAY, HEADERS, RST_STREAM};
use super::stalled::StalledFlag;
use super::timer::Timer;

/// Frames that serve no request: how many there may be ahead of any that does, how many more a second, and how many for
/// each answer and each piece of one. A client acknowledges what it gets (WINDOW_UPDATE, PING), so pieces earn.
const IDLE_FRAMES: i64 = 1000;
const IDLE_FRAMES_PER_SECOND: i64 = 100;
const IDLE_FRAMES_PER_ANSWER: i64 = 16;
const IDLE_FRAMES_PER_PIECE: i64 = 4;
/// What a GOAWAY counts for: a client sends one, or two.
const GOAWAY_FRAMES: i64 = 100;
/// The bytes of a body that are worth one frame.
const PIECE_BYTES: u32 = 1024;
/// The seconds in which all resets that a connection may have are given back.
const RESETS_SECONDS: i64 = 10;

/// Error codes (RFC 9113, section 7) with which our own side resets a stream because of what its client did.
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const CLIENTS_FAULTS: [u32; 7] = [PROTOCOL_ERROR, 3, 5, 6, REFUSED_STREAM, 9, 11];

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Streams that one side or the other has reset.
    Resets,
    /// Frames that serve no request.
    IdleFrames,
    /// A frame or a block of fields that does not end.
    SlowHead,
}

impl Flood {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Resets, Self::IdleFrames, Self::SlowHead];

    /// The `reason` of `opgate_connections_cut_total`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::IdleFrames => "idle_frames",
            Self::SlowHead => "head_timeout",
        }
    }
}

/// What the guard tells the connection's owner. Both run in one task.
#[derive(Debug, Default)]
pub(crate) struct ConnectionStats {
    opened: AtomicU64,
    malformed: AtomicU64,
    refused: AtomicU64,
    body_bytes: AtomicU64,
    is_blocked: AtomicBool,
    has_gone_away: AtomicBool,
    flood: OnceLock<Flood>,
    stalled: StalledFlag,
}

impl ConnectionStats {
    /// Requests whose fields have come in whole.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Streams that were reset for a broken rule, before any answer.
    pub(crate) fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Streams beyond the limit.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Bytes of bodies that have come.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// Whether something waits to be written: frames that have come may not have been read yet.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    /// Whether the client was told that nothing more will be served.
    pub(crate) fn has_gone_away(&self) -> bool {
        self.has_gone_away.load(Ordering::Relaxed)
    }

    /// How its requests learn of its end.
    pub(crate) fn stalled(&self) -> &StalledFlag {
        &self.stalled
    }

    /// Why the connection is to be cut.
    pub(crate) fn flood(&self) -> Option<Flood> {
        self.flood.get().copied()
    }
}

/// Watches one connection.
#[derive(Debug)]
pub(crate) struct FloodGuard {
    inbound: Frames,
    outbound: Frames,
    account: Account,
    head_timeout: Duration,
    /// Runs while a frame or a block of fields is incomplete.
    alarm: Timer,
    is_late_at: Option<Instant>,
}

impl FloodGuard {
    /// A guard that begins with the client's preface, of `preface` bytes.
    pub(crate) fn new(
        stats: Arc<ConnectionStats>,
        preface: usize,
        resets: usize,
        head_timeout: Duration,
    ) -> Self {
        Self {
            inbound: Frames::after(preface),
            outbound: Frames::default(),
            account: Account::new(stats, resets),
            head_timeout,
            alarm: Timer::default(),
            is_late_at: None,
        }
    }

    /// Whether nothing more is to be read.
    pub(crate) fn is_over(&self) -> bool {
        self.account.stats.flood().is_some()
    }

    /// These bytes have come.
    pub(crate) fn came(&mut self, bytes: &[u8]) {
        let Self { inbound, account, .. } = self;
        inbound.read(bytes, |frame| account.came(frame));
        if !self.is_within_head() {
            self.is_late_at = None;
        }
    }

    /// Nothing has come: a frame that has begun may be late.
    pub(crate) fn waits(&mut self, context: &mut Context<'_>) {
        if !self.is_within_head() {
            return;
        }
        let until = *self.is_late_at.get_or_insert_with(|| Instant::now() + self.head_timeout);
        if self.alarm.poll(context, until).is_ready() {
            self.account.cut(Flood::SlowHead);
            // The owner looks when it is polled.
            context.waker().wake_by_ref();
        }
    }

    /// These bytes have gone out.
    pub(crate) fn went(&mut self, bytes: &[u8]) {
        let Self { outbound, account, .. } = self;
        outbound.read(bytes, |frame| account.went(frame));
    }

    /// The client takes nothing: the connection is over.
    pub(crate) fn tell_stalled(&self) {
        self.account.stats.stalled.tell();
    }

    /// Whether there is room to write.
    pub(crate) fn blocked(&self, is_blocked: bool) {
        self.account.stats.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    fn is_within_head(&self) -> bool {
        self.account.within_block || self.inbound.is_within_frame()
    }
}

/// A connection's credit.
#[derive(Debug)]
struct Account {
    stats: Arc<ConnectionStats>,
    idle_frames: i64,
    resets: i64,
    most_resets: i64,
    paid: Instant,
    /// The highest stream that the client has opened.
    last_stream: u32,
    /// A block of fields has begun and not ended; whether it opens a stream.
    within_block: bool,
    opens: bool,
    /// The highest stream that was answered.
    answered: u32,
    /// The last stream that will be served, once the client was told.
    last_served: u32,
}

impl Account {
    fn new(stats: Arc<ConnectionStats>, resets: usize) -> Self {
        let most_resets = i64::try_from(resets).unwrap_or(i64::MAX);
        Self {
            stats,
            idle_frames: IDLE_FRAMES,
            resets: most_resets,
            most_resets,
            paid: Instant::now(),
            last_stream: 0,
            within_block: false,
            opens: false,
            answered: 0,
            last_served: u32::MAX,
        }
    }

    fn came(&mut self, frame: &Frame) {
        match frame.kind {
            // The library bounds small ones.
            DATA => {
                self.stats.body_bytes.fetch_add(frame.length.into(), Ordering::Relaxed);
                if frame.length >= PIECE_BYTES {
                    self.earn(1);
                }
            }
            HEADERS => {
                self.opens = frame.stream > self.last_stream;
                self.last_stream = self.last_stream.max(frame.stream);
                if !self.opens {
                    self.spend(1);
                }
                self.block(frame);
            }
            CONTINUATION => {
                self.spend(1);
                self.block(frame);
            }
            RST_STREAM => self.spend_reset(),
            GOAWAY => self.spend(GOAWAY_FRAMES),
            _ => self.spend(1),
        }
    }

    fn block(&mut self, frame: &Frame) {
        self.within_block = !frame.ends_headers();
        if !self.within_block && self.opens && frame.stream <= self.last_served {
            self.stats.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn went(&mut self, frame: &Frame) {
        match frame.kind {
            HEADERS | DATA => {
                if frame.kind == HEADERS {
                    self.answered = self.answered.max(frame.stream);
                } else if frame.length > 0 {
                    self.earn(IDLE_FRAMES_PER_PIECE);
                }
                if frame.ends_stream() {
                    self.earn(IDLE_FRAMES_PER_ANSWER);
                    self.resets = (self.resets + 1).min(self.most_resets);
                }
            }
            RST_STREAM => {
                if frame.code == REFUSED_STREAM {
                    self.stats.refused.fetch_add(1, Ordering::Relaxed);
                } else if frame.code == PROTOCOL_ERROR && frame.stream > self.answered {
                    self.stats.malformed.fetch_add(1, Ordering::Relaxed);
                }
                if CLIENTS_FAULTS.contains(&frame.code) {
                    self.spend_reset();
                }
            }
            GOAWAY => {
                self.last_served = frame.last_stream;
                // The first of a graceful end names the highest number there is (RFC 9113, section 6.8).
                let is_last = frame.last_stream < 0x7fff_ffff;
                self.stats.has_gone_away.store(is_last, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn earn(&mut self, frames: i64) {
        self.idle_frames = (self.idle_frames + frames).min(IDLE_FRAMES);
    }

    fn spend(&mut self, frames: i64) {
        self.idle_frames -= frames;
        if self.idle_frames < 0 {
            self.pay();
            if self.idle_frames < 0 {
                self.cut(Flood::IdleFrames);
            }
        }
    }

    fn spend_reset(&mut self) {
        self.resets -= 1;
        if self.resets < 0 {
            self.pay();
            if self.resets < 0 {
                self.cut(Flood::Resets);
            }
        }
    }

    /// Adds the credit that time gives back. The clock is read only here: when there is no credit left.
    fn pay(&mut self) {
        let now = Instant::now();
        let milliseconds = i64::try_from((now - self.paid).as_millis()).unwrap_or(i64::MAX).min(60_000);
        self.paid = now;
        self.earn(milliseconds * IDLE_FRAMES_PER_SECOND / 1000);
        let resets = milliseconds.saturating_mul(self.most_resets) / (1000 * RESETS_SECONDS);
        self.resets = self.resets.saturating_add(resets).min(self.most_resets);
    }

    fn cut(&self, flood: Flood) {
        // The first reason stays the reason.
        let _ = self.stats.flood.set(flood);
    }
}

#[cfg(test)]
mod tests;
