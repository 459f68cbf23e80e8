//! How a request's body is taken in before anything of the request is sent: judged whole, passed on, or let past.

use bytes::Bytes;
use pingora::proxy::Session;

use super::failure::{bad_chunk, unreadable};
use super::{LINGER, LINGER_BYTES, Proxy};
use crate::decision::body::{self, Intake};
use crate::http::{Framing, Request};
use crate::listener::Allowance;
use crate::policy::Permit;
use crate::reason::{Denial, Reason};

impl Proxy {
    /// Applies the method's body rule. `Some` holds the bytes to send; `None` passes the body on as it comes.
    pub(super) async fn take_body(
        &self,
        session: &mut Session,
        request: &Request,
        permit: &Permit,
        allowance: Option<&Allowance>,
    ) -> Result<Option<Bytes>, Denial> {
        let call = permit.call();
        let plan = body::plan(request, call, self.0.limits.body)?;
        if plan != Intake::Nothing && request.expects_continue() {
            session.write_continue_response().await.map_err(|error| unreadable(&error))?;
        }
        let limit = match plan {
            Intake::Nothing => return Ok(Some(Bytes::new())),
            Intake::Pass if request.framing == Framing::Chunked => {
                self.wait_for_chunk(session, allowance).await?;
                return Ok(None);
            }
            Intake::Pass => return Ok(None),
            Intake::Collect { limit } => limit,
        };
        // If a body cannot be read to its end, where it would have ended is not known: then the connection ends with the
        // answer. Pingora calls such a body done.
        let keepalive = session.get_keepalive();
        session.set_keepalive(None);
        // Pingora sends a body that was read before the upstream was chosen only from this buffer.
        session.enable_retry_buffering();
        let collect = async {
            let mut collected: Vec<u8> = Vec::new();
            while let Some(chunk) = session.read_request_body().await.map_err(|error| unreadable(&error))? {
                collected.extend_from_slice(&chunk);
                if collected.len() as u64 > limit {
                    return Err(body::overflow(call.body, limit));
                }
            }
            Ok(Bytes::from(collected))
        };
        let collected = tokio::time::timeout(self.0.limits.body_timeout, collect)
            .await
            .map_err(|_| Denial::new(Reason::BodyTimeout, "the body did not end in time"))??;
        if !session.is_body_done() {
            // HTTP/2 trailers: nothing that a method's body rule speaks of, and Pingora would send the body again.
            return Err(Denial::new(Reason::RequestMalformed, "the request has trailers").told());
        }
        session.set_keepalive(keepalive);
        body::settle(&collected, call).map(Some)
    }

    /// Waits for the first chunk of a body that is passed on as it comes: the head leaves once it is known to be good.
    async fn wait_for_chunk(
        &self,
        session: &mut Session,
        allowance: Option<&Allowance>,
    ) -> Result<(), Denial> {
        // As for a body that is read to its end, which this one may be.
        let keepalive = session.get_keepalive();
        session.set_keepalive(None);
        session.enable_retry_buffering();
        if let Some(allowance) = allowance {
            allowance.hold();
        }
        let first = async {
            loop {
                match session.read_request_body().await.map_err(|error| unreadable(&error))? {
                    // Pingora has read a line, and no data yet.
                    Some(data) if data.is_empty() => {}
                    _ => return Ok(()),
                }
            }
        };
        tokio::time::timeout(self.0.limits.body_timeout, first)
            .await
            .map_err(|_| Denial::new(Reason::BodyTimeout, "the body's first chunk did not come in time"))??;
        session.set_keepalive(keepalive);
        Ok(())
    }
}

/// Reads on for a moment after the answer, so that a reset for unread bytes does not overtake it.
pub(super) async fn drain(session: &mut Session) {
    let read = async {
        let mut seen = 0;
        let mut is_broken = false;
        while seen <= LINGER_BYTES {
            match session.read_request_body().await {
                Ok(Some(chunk)) => seen += chunk.len(),
                // Said once. What comes after it is let past by the connection, and never ends well.
                Err(error) if !is_broken && bad_chunk(&error).is_some() => is_broken = true,
                Ok(None) | Err(_) => break,
            }
        }
    };
    // Whether the client stops in time or not, the connection is over.
    let _ = tokio::time::timeout(LINGER, read).await;
}
