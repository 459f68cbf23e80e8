//! What every front end has in common that decides for proxies: a request as a proxy describes it, and what is said of it.
//!
//! ```text
//! question ─► DescribedRequest ─► Engine ─┬─► Admitted ─► FieldChanges ─► "let it pass, with these changes"
//!                                         └─► Denial ───► the gate's own answer, for the proxy to give
//! ```
//!
//! A described request is judged as strictly as one that came over the wire, by the same stages, limits and records. What differs
//! is its end: the proxy forwards it as it has it, so what the gate would write anew is refused or told as changes.

use std::net::IpAddr;

use bytes::Bytes;

use crate::admission::PendingSlot;
use crate::engine::{
    BodySource, Decision, Engine, Exchange, FieldChanges, FrontendAction, LARGE_BODY, MessagePlan, OwnAnswer,
    Pending, Phase, ShownRequest,
};
use crate::grpc::message::{MessageEncoding, MessagePrefix, PREFIX, too_large};
use crate::http::{HeadLimits, Peer, RawHead, Request, TrustedProxies, Version};
use crate::reason::{Denial, Reason};

/// A request as a proxy describes it.
#[derive(Debug)]
pub(super) struct DescribedRequest {
    /// The request line and the fields. It is judged by the rules of HTTP/2, whatever the client spoke: a proxy has taken off
    /// what is about its connection.
    pub(super) head: RawHead,
    /// The version that the client spoke, where the proxy says.
    pub(super) version: Option<Version>,
    pub(super) body: ShownBody,
    /// The client's connection.
    pub(super) peer: Peer,
}

/// What a proxy shows of a body.
#[derive(Clone, Debug)]
pub(super) enum ShownBody {
    /// All of it.
    Whole(Bytes),
    /// Not all of it: what the operator can do, for the denial of a rule that needs it.
    NotShown(&'static str),
}

/// What is said of a request.
#[derive(Debug)]
pub(super) enum AuthorizerRuling {
    /// It may pass, with these changes.
    Allowed(FieldChanges),
    Refused(Denial),
    /// The gate answers it by itself.
    Own(OwnAnswer),
}

/// A described request that can be read, and what the proxy has of it.
#[derive(Debug)]
pub(super) struct ReadDescription {
    request: Request,
    shown: ShownRequest,
    body: ShownBody,
}

impl DescribedRequest {
    /// Judges the head.
    ///
    /// # Errors
    /// 400 for everything that two readers could take for two requests, 414 and 431 beyond the limits.
    pub(super) fn read(
        self,
        limits: HeadLimits,
        proxies: &TrustedProxies,
    ) -> Result<ReadDescription, Denial> {
        let Self { head, version, body, peer } = self;
        limits.check(&head.method, &head.target, head.authority.as_deref(), &head.headers)?;
        let shown = ShownRequest {
            target: head.target.clone(),
            headers: head.headers.clone(),
            body: match &body {
                ShownBody::Whole(bytes) => Some(bytes.clone()),
                ShownBody::NotShown(_) => None,
            },
        };
        let request = Request::new(head, &peer, proxies)?;
        if let (Some(announced), ShownBody::Whole(bytes)) = (request.framing.announced(), &body)
            && announced != bytes.len() as u64
        {
            let detail = "the body that the proxy shows has another length than `content-length` says";
            return Err(Denial::new(Reason::RequestMalformed, detail).told());
        }
        let version = version.unwrap_or(request.version);
        Ok(ReadDescription { request: request.spoken_in(version), shown, body })
    }
}

/// Decides a described request. `pending` is the slot of a request that is not judged yet, where the protocol has some; `peer`
/// stands for the address of a client that is not known.
pub(super) async fn judge(
    engine: &Engine,
    exchange: &mut Exchange,
    described: Result<ReadDescription, Denial>,
    mut pending: Option<PendingSlot>,
    peer: IpAddr,
) -> AuthorizerRuling {
    let ReadDescription { request, shown, mut body } = match described {
        Ok(described) => described,
        Err(denial) => return AuthorizerRuling::Refused(denial),
    };
    let address = request.origin.address.unwrap_or(peer);
    let counted = pending.as_mut().map_or(Ok(()), |pending| pending.count_for(address));
    let decision = engine.decide(exchange, request);
    // A request beyond its address's share is decided by what is known.
    let decision = match (decision, counted) {
        (Decision::Wait(Pending::Issuer(_)), Err(full)) => Decision::Refused(full),
        (Decision::Wait(Pending::Issuer(unresolved)), Ok(())) => engine.resolve(exchange, unresolved).await,
        (decision, _) => decision,
    };
    drop(pending);
    match engine.go_on(exchange, decision, &mut body).await {
        Err(denial) => AuthorizerRuling::Refused(denial),
        Ok(FrontendAction::Answer(own)) => AuthorizerRuling::Own(own),
        Ok(FrontendAction::Forward) => match exchange.field_changes(&shown) {
            Ok(changes) => AuthorizerRuling::Allowed(changes),
            Err(denial) => {
                exchange.phase = Phase::Received;
                AuthorizerRuling::Refused(denial)
            }
        },
    }
}

impl BodySource for ShownBody {
    fn permitted(&mut self) {}

    async fn collect(
        &mut self,
        limit: u64,
        overflow: impl Fn() -> Denial + Send + Sync,
    ) -> Result<Bytes, Denial> {
        match self {
            Self::Whole(bytes) if bytes.len() as u64 > limit => Err(overflow()),
            Self::Whole(bytes) => Ok(bytes.clone()),
            Self::NotShown(why) => {
                let detail =
                    format!("the method's rule needs the whole body, and the proxy does not show it: {why}");
                Err(Denial::new(Reason::BodyNotShown, detail).told())
            }
        }
    }

    async fn first_message(
        &mut self,
        plan: MessagePlan,
        encoding: MessageEncoding,
        limit: u64,
        mut hold: impl FnMut(u64) -> Result<(), Denial> + Send,
    ) -> Result<Bytes, Denial> {
        if plan == MessagePlan::First {
            let detail =
                "the method takes a stream of messages, and the proxy shows no message behind the first one";
            return Err(Denial::new(Reason::BodyNotShown, detail).told());
        }
        let bytes = self.collect(limit.saturating_add(PREFIX as u64), || too_large(limit)).await?;
        if let Some(prefix) = bytes.first_chunk::<PREFIX>() {
            let held = MessagePrefix::read(*prefix, encoding, limit)?.held(limit);
            if held > LARGE_BODY {
                hold(held)?;
            }
        }
        Ok(bytes)
    }

    /// The proxy passes the body on as it comes.
    async fn begin(&mut self) -> Result<(), Denial> {
        Ok(())
    }
}
