//! The first message of a gRPC call: waited for and judged.

use std::time::Instant;

use bytes::Bytes;

use super::{BodySource, Decision, Engine, Exchange};
use crate::admission::Slots;
use crate::decision::body::LARGE_BODY;
use crate::decision::{AwaitingMessage, MessagePlan, Ruling};
use crate::reason::{DecisionStage, Denial, Reason};

impl Engine {
    /// Waits for the first message of a call, and decides by it.
    pub(super) async fn take_message(
        &self,
        exchange: &mut Exchange,
        awaiting: AwaitingMessage,
        mut slots: Slots,
        body: &mut impl BodySource,
    ) -> Decision {
        let asked = Instant::now();
        let limits = self.0.limits.body.of(&awaiting.method().limits);
        exchange.deadline =
            awaiting.timeout().and_then(|timeout| exchange.arrival.instant.checked_add(timeout));
        let until = exchange.deadline.map(tokio::time::Instant::from_std);
        let reading = read(&awaiting, limits.message, &mut slots, body);
        let read = match until {
            None => reading.await,
            Some(until) => tokio::time::timeout_at(until, reading).await.unwrap_or_else(|_| {
                Err(Denial::new(
                    Reason::MessageTimeout,
                    "`grpc-timeout` was over before the first message came",
                ))
            }),
        };
        let now = Instant::now();
        let waited = now.saturating_duration_since(asked);
        exchange.timing.body += waited;
        self.0.instruments.requests.waited_for_body(waited);
        exchange.trace.times.enter_at(DecisionStage::Iam, now);
        let ruling = match read {
            Ok(read) => self.judge_message(exchange, awaiting, read, limits.message).await,
            Err(denial) => Ruling::Refused(denial),
        };
        match ruling {
            Ruling::Permitted(permitted) => self.follow_permitted(exchange, permitted, Some(slots)),
            Ruling::Refused(denial) => {
                exchange.trace.times.pause();
                Decision::Refused(denial)
            }
            Ruling::Unresolved(_) | Ruling::AwaitingMessage(_) => {
                Decision::Refused(Denial::new(Reason::Internal, "a decision waits for what it has"))
            }
        }
    }

    async fn judge_message(
        &self,
        exchange: &mut Exchange,
        awaiting: AwaitingMessage,
        read: Bytes,
        limit: u64,
    ) -> Ruling {
        let live = exchange.live.clone();
        if read.len() as u64 <= LARGE_BODY {
            return awaiting.resume(&live.snapshot, read, limit, &mut exchange.trace);
        }
        // 10 MiB of gzip take a while: no connection waits for that.
        let mut trace = std::mem::take(&mut exchange.trace);
        let judged = tokio::task::spawn_blocking(move || {
            let ruling = awaiting.resume(&live.snapshot, read, limit, &mut trace);
            (ruling, trace)
        });
        match judged.await {
            Ok((ruling, trace)) => {
                exchange.trace = trace;
                ruling
            }
            Err(error) => {
                let why = format!("a message could not be judged: {error}");
                Ruling::Refused(Denial::new(Reason::Internal, why))
            }
        }
    }
}

/// Reads what is to be read before the decision goes on. What is held beyond 64 KiB has a place among the bytes that may be.
async fn read(
    awaiting: &AwaitingMessage,
    limit: u64,
    slots: &mut Slots,
    body: &mut impl BodySource,
) -> Result<Bytes, Denial> {
    let (plan, encoding) = (awaiting.plan(), awaiting.encoding());
    match plan {
        MessagePlan::Nothing => Ok(Bytes::new()),
        MessagePlan::Whole => body.first_message(plan, encoding, limit, |bytes| slots.hold(bytes)).await,
        MessagePlan::First => {
            // Each of the messages is held until it is whole, and judged.
            if limit > LARGE_BODY {
                slots.hold(limit)?;
            }
            body.first_message(plan, encoding, limit, |_| Ok(())).await
        }
    }
}
