//! Carries a request to a backend and its answer to the client, both at the same time.
//!
//! One future drives both directions, and holds no more than a piece of each: what one side does not take, the other side is
//! not asked for. An answer may begin before its request is all out, and end before it: then the rest still goes out, as long
//! as the backend takes it. What is good of an answer reaches the client before its fault ends the exchange.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::time::Sleep;

use super::client::ClientSide;
use crate::http::answer::{AnswerHead, PassedHead};
use crate::reason::{Denial, Reason};
use crate::upstream::backend::{AnswerSink, BackendFailure, BackendSide};

/// What happens to an exchange on its way.
pub trait RelaySteps<W> {
    /// The next data of a body that is passed on has come. What may go on now goes to `send`.
    fn body_came(&mut self, data: &[u8], send: &mut dyn FnMut(&[u8])) {
        send(data);
    }

    /// The next data of a body that is passed on, and its end if `ends`.
    ///
    /// # Errors
    /// Where it may not pass.
    fn passes(&mut self, data: usize, ends: bool) -> Result<(), Denial>;

    /// The head of an answer has come. Gives what the client is told of it.
    fn head_came<'h>(&mut self, head: &AnswerHead<'h>) -> PassedHead<'h>;

    /// The next data of the answer has come.
    fn data_came(&mut self, data: &[u8]);

    /// The fields behind the answer have come.
    fn trailers_came(&mut self, fields: &HeaderMap) {
        let _ = fields;
    }

    /// The answer has come whole. Gives the fields behind it that are missing.
    fn answer_ended(&mut self) -> Option<HeaderMap>;

    /// A connection may carry another exchange.
    fn keep(&mut self, connection: W);
}

/// How long each part may take.
#[derive(Clone, Copy, Debug)]
pub struct RelayTimes {
    /// When the answer is to be whole.
    pub until: Option<Instant>,
    /// When a body that is passed on is to be whole.
    pub body_until: Option<Instant>,
    /// How long the backend may neither take nor send anything.
    pub patience: Duration,
    /// Whether the exchange is over with its answer, whatever is left of the request: a gRPC call is.
    pub ends_with_answer: bool,
}

/// Why an exchange ended before its end.
#[derive(Debug)]
pub enum RelayFailure {
    /// The client's fault, or the gate's decision.
    Denied(Denial),
    /// The backend's.
    Backend(BackendFailure),
    /// The backend did nothing for too long.
    Silent,
    /// The time of the exchange is over.
    Cut,
}

/// A timer that is made when it is first needed, and moved as seldom as possible.
#[derive(Debug, Default)]
pub struct RelayTimer(Option<Pin<Box<Sleep>>>);

/// One attempt under way.
#[derive(Debug)]
pub struct Relay<'r, C, B, S> {
    client: &'r mut C,
    backend: &'r mut B,
    steps: &'r mut S,
    timer: &'r mut RelayTimer,
    times: RelayTimes,
    /// Whether the request can go no further: it is all out, or the backend takes no more.
    is_asked: bool,
    /// Why the backend takes no more. Its answer may come all the same.
    unsent: Option<BackendFailure>,
    /// What is wrong with the answer; told once the client has what came before.
    broken: Option<BackendFailure>,
    /// When the backend last took or sent something.
    moved: Instant,
    has_moved: bool,
    waits_for: Waits,
}

/// What the exchange waits for.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    body: bool,
    backend: bool,
}

impl<'r, C, B, S> Relay<'r, C, B, S>
where
    C: ClientSide,
    B: BackendSide,
    S: RelaySteps<B::Connection>,
{
    /// Carries what `backend` has been handed, and the rest of the client's body, where that is passed on.
    pub fn new(
        client: &'r mut C,
        backend: &'r mut B,
        steps: &'r mut S,
        timer: &'r mut RelayTimer,
        times: RelayTimes,
    ) -> Self {
        Self {
            client,
            backend,
            steps,
            timer,
            times,
            is_asked: false,
            unsent: None,
            broken: None,
            moved: Instant::now(),
            has_moved: false,
            waits_for: Waits::default(),
        }
    }

    /// Goes on. Ready once the client has the answer, and the backend the request.
    ///
    /// # Errors
    /// Where either breaks off.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RelayFailure>> {
        self.waits_for = Waits::default();
        let asked = self.poll_request(context)?;
        let answered = self.poll_answer(context)?;
        if answered.is_ready() && (asked.is_ready() || self.times.ends_with_answer) {
            self.release();
            return Poll::Ready(Ok(()));
        }
        if self.backend.is_request_whole()
            && let Poll::Ready(denial) = self.client.poll_gone(context)
        {
            return Poll::Ready(Err(RelayFailure::Denied(denial)));
        }
        self.poll_times(context)
    }

    /// Ready once the request can go no further.
    fn poll_request(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RelayFailure>> {
        while !self.is_asked {
            let taken = self.backend.taken();
            let sent = self.backend.poll_send(context);
            self.has_moved |= self.backend.taken() != taken;
            match sent {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) if self.backend.is_unsent() => {
                    return Poll::Ready(Err(RelayFailure::Backend(failure)));
                }
                Poll::Ready(Err(failure)) => {
                    self.is_asked = true;
                    self.unsent = Some(failure);
                    break;
                }
                Poll::Pending => {
                    self.waits_for.backend = true;
                    return Poll::Pending;
                }
            }
            if self.backend.is_request_whole() {
                self.is_asked = true;
                break;
            }
            ready!(self.poll_body(context))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once there is something to send.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RelayFailure>> {
        let Self { client, backend, steps, .. } = self;
        let mut length = 0;
        let read = client.poll_body(context, &mut |data| {
            length += data.len();
            steps.body_came(data, &mut |data| backend.send_data(data));
        });
        let Poll::Ready(read) = read else {
            self.waits_for.body = true;
            return Poll::Pending;
        };
        let ends = read.map_err(RelayFailure::Denied)?;
        steps.passes(length, ends).map_err(RelayFailure::Denied)?;
        if ends {
            backend.send_end();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the client has the whole answer.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RelayFailure>> {
        loop {
            ready!(self.client.poll_sent(context)).map_err(RelayFailure::Denied)?;
            if let Some(failure) = self.broken.take() {
                // What could not be sent explains more than what did not come, if it explains anything.
                let unsent = self.unsent.take();
                let unsent = unsent.filter(|unsent| !matches!(unsent, BackendFailure::Stopped));
                let failure = unsent.unwrap_or(failure);
                return Poll::Ready(Err(RelayFailure::Backend(failure)));
            }
            if self.backend.is_answered() {
                return Poll::Ready(Ok(()));
            }
            let mut sink =
                AnswerPassage { client: &mut *self.client, steps: &mut *self.steps, of: PhantomData };
            match self.backend.poll_answer(context, &mut sink) {
                Poll::Ready(Ok(())) => self.has_moved = true,
                Poll::Ready(Err(failure)) => self.broken = Some(failure),
                Poll::Pending => {
                    self.waits_for.backend = true;
                    return Poll::Pending;
                }
            }
            self.release();
        }
    }

    /// Gives the connection back as soon as question and answer are over: another exchange need not wait for the client.
    fn release(&mut self) {
        if self.is_asked
            && self.backend.is_answered()
            && let Some(connection) = self.backend.release()
        {
            self.steps.keep(connection);
        }
    }

    /// Ready where something did not happen in time.
    fn poll_times(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RelayFailure>> {
        if std::mem::take(&mut self.has_moved) {
            self.moved = Instant::now();
        }
        let Waits { body, backend } = self.waits_for;
        let RelayTimes { until, body_until, patience, .. } = self.times;
        let until = until.filter(|_| !self.backend.is_answered());
        let body_until = body_until.filter(|_| body);
        let silent = if backend { self.moved.checked_add(patience) } else { None };
        let Some(next) = [until, body_until, silent].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        ready!(self.timer.poll(context, next));
        let has_passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= next);
        Poll::Ready(if has_passed(until) {
            Err(RelayFailure::Cut)
        } else if has_passed(body_until) {
            Err(RelayFailure::Denied(Denial::new(Reason::BodyTimeout, "the body did not end in time")))
        } else if self.backend.is_answered() {
            // The client has its answer; a backend that takes no more of the request changes nothing of it.
            Ok(())
        } else {
            Err(RelayFailure::Silent)
        })
    }
}

/// What an answer passes on its way to the client.
struct AnswerPassage<'p, C, S, W> {
    client: &'p mut C,
    steps: &'p mut S,
    of: PhantomData<fn(W)>,
}

impl<C: ClientSide, S: RelaySteps<W>, W> AnswerSink for AnswerPassage<'_, C, S, W> {
    fn head(&mut self, head: &AnswerHead<'_>) {
        let passed = self.steps.head_came(head);
        self.client.put_head(&passed);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.steps.data_came(bytes);
        self.client.put_data(bytes);
    }

    fn trailers(&mut self, fields: HeaderMap) {
        self.steps.trailers_came(&fields);
        self.client.put_trailers(fields);
    }

    fn end(&mut self) {
        if let Some(missing) = self.steps.answer_ended() {
            self.client.put_trailers(missing);
        }
        self.client.put_end();
    }
}

impl RelayTimer {
    /// Ready once `until` has passed.
    fn poll(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<()> {
        let until = tokio::time::Instant::from_std(until);
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() > until {
            sleep.as_mut().reset(until);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
    }
}
