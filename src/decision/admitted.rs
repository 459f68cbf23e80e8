//! From the permit to the one value that may go upstream.
//!
//! A permit alone does not say for which request it was given. So it never leaves the request that it was given for: the
//! two move on together, first with the slots that the request holds, then with the body that was judged.

use std::sync::Arc;

use bytes::Bytes;

use super::body::{self, BodyLimits, BodyPlan, form};
use super::judged_messages::JudgedMessages;
use super::transcoding::TranscodedCall;
use crate::admission::Slots;
use crate::catalog::Method;
use crate::http::Request;
use crate::policy::Permit;
use crate::reason::{Denial, Reason};

/// A request that policy allows. Nothing is known of its body yet.
#[derive(Debug)]
pub struct Permitted {
    request: Arc<Request>,
    permit: Permit,
    /// Of a gRPC call: they are judged already.
    messages: Option<JudgedMessages>,
}

impl Permitted {
    /// Only a decision makes one.
    pub(super) fn new(request: Arc<Request>, permit: Permit) -> Self {
        Self { request, permit, messages: None }
    }

    /// A gRPC call whose first message was judged.
    pub(super) fn with_messages(request: Arc<Request>, permit: Permit, messages: JudgedMessages) -> Self {
        Self { request, permit, messages: Some(messages) }
    }

    /// The proof.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Takes the slots that the request holds until it is answered, and plans how its body is read.
    ///
    /// # Errors
    /// Where the head announces a body that the method does not take, or there is no room for a large one.
    pub fn hold(self, mut slots: Slots, limits: BodyLimits) -> Result<AwaitingBody, Denial> {
        let plan = match &self.messages {
            Some(_) => BodyPlan::Judged,
            None => body::plan(&self.request, self.permit.call(), limits)?,
        };
        let held = plan.held(&self.request);
        if held > body::LARGE_BODY {
            slots.hold(held)?;
        }
        Ok(AwaitingBody { permitted: self, slots, plan })
    }
}

/// A request that is allowed, up to its body.
#[derive(Debug)]
pub struct AwaitingBody {
    permitted: Permitted,
    slots: Slots,
    plan: BodyPlan,
}

impl AwaitingBody {
    /// What is to be read before the request may go upstream.
    pub fn plan(&self) -> BodyPlan {
        self.plan
    }

    /// The method that is called.
    pub fn method(&self) -> &Method {
        &self.permitted.permit.call().method
    }

    /// Whether judging the body may take a while: it may be large.
    pub fn is_large(&self) -> bool {
        self.plan.held(&self.permitted.request) > body::LARGE_BODY
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.permitted.request
    }

    /// The denial of a body with more bytes than `limit`, the one that the plan gave.
    pub fn overflow(&self, limit: u64) -> Denial {
        if form::stands_for_query(&self.permitted.request) {
            return form::too_long(limit);
        }
        body::overflow(self.permitted.permit.call().body, limit)
    }

    /// Judges the body, which was read to its end.
    ///
    /// # Errors
    /// 400 where the body says anything that the path does not; 413 where it is too long.
    pub fn complete(mut self, collected: &Bytes) -> Result<Admitted, Denial> {
        let Permitted { request, permit, .. } = &mut self.permitted;
        let call = permit.call();
        let held = match self.plan {
            BodyPlan::Nothing if collected.is_empty() => Bytes::new(),
            BodyPlan::Collect { limit, .. } if collected.len() as u64 > limit => {
                return Err(self.overflow(limit));
            }
            BodyPlan::Collect { limit, coding, is_typed } if form::stands_for_query(request) => {
                *request = form::applied(request, call, collected, coding, is_typed, limit)?;
                Bytes::new()
            }
            BodyPlan::Collect { limit, coding, is_typed } => {
                body::settle(collected, coding, is_typed, call, limit)?
            }
            BodyPlan::Nothing | BodyPlan::Pass | BodyPlan::Judged => {
                return Err(Denial::new(Reason::Internal, "a body was read that was not asked for"));
            }
        };
        let Permitted { request, permit, .. } = &self.permitted;
        let body = match &permit.call().transcoding {
            None => JudgedBody::Held(held),
            Some(method) => {
                let call = TranscodedCall::new(method, request, permit.call(), &held)?;
                JudgedBody::Transcoded(Box::new(call))
            }
        };
        Ok(self.admitted(body))
    }

    /// Lets the body pass as it comes.
    ///
    /// # Errors
    /// Where the method's body rule asks for it to be judged first.
    pub fn pass(self) -> Result<Admitted, Denial> {
        match self.plan {
            // What passes is not made into a message.
            BodyPlan::Pass if self.permitted.permit.call().transcoding.is_some() => {
                Err(Denial::new(Reason::Internal, "a body would have passed that is to be transcoded"))
            }
            BodyPlan::Pass => Ok(self.admitted(JudgedBody::Passed)),
            BodyPlan::Nothing | BodyPlan::Collect { .. } | BodyPlan::Judged => {
                Err(Denial::new(Reason::Internal, "a body would have passed that is to be judged"))
            }
        }
    }

    /// Goes on with the messages of a gRPC call, which are judged.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn go_on(mut self) -> Result<Admitted, Denial> {
        match self.permitted.messages.take() {
            Some(messages) => Ok(self.admitted(JudgedBody::Messages(Box::new(messages)))),
            None => Err(Denial::new(Reason::Internal, "a body would have passed that is to be judged")),
        }
    }

    fn admitted(self, body: JudgedBody) -> Admitted {
        let Self { permitted: Permitted { request, permit, .. }, slots, .. } = self;
        Admitted { request, permit, body, slots }
    }
}

/// The body of a request that goes upstream.
#[derive(Clone, Debug)]
pub enum JudgedBody {
    /// These bytes are sent.
    Held(Bytes),
    /// The request goes upstream as this call of gRPC.
    Transcoded(Box<TranscodedCall>),
    /// The client's bytes are sent as they come, up to [`BodyLimits::stream`].
    Passed,
    /// The messages of a gRPC call.
    Messages(Box<JudgedMessages>),
}

/// What goes upstream, and nothing else can: a request, the permit that was given for it, the body that was judged with
/// it, and the slots that it holds.
#[derive(Debug)]
pub struct Admitted {
    request: Arc<Request>,
    permit: Permit,
    body: JudgedBody,
    /// Given back when the value is dropped.
    slots: Slots,
}

impl Admitted {
    /// The request, as it was judged.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The proof.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The body, as it was judged.
    pub fn body(&self) -> &JudgedBody {
        &self.body
    }

    /// The slots that it holds.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }
}
