//! A body that goes to the backend as the client has sent it, because what judges it does not forward it.
//!
//! The gate sends what it has judged: never the client's bytes for an empty message, and a message without its coding. A
//! proxy that only asks whether a request may pass sends the client's bytes. So fewer bodies will do: those that every
//! reader reads as they were judged.

use bytes::Bytes;

use super::content::{media_type, trim_blanks};
use super::message;
use crate::catalog::{BodyRule, Call};
use crate::http::Request;
use crate::reason::{Denial, Reason};

/// Judges a body that was admitted as `held`, and is sent on as `sent`.
///
/// # Errors
/// Where a backend may read something else in it: the request would have to be sent anew.
pub fn judge_as_sent(request: &Request, call: &Call, held: &Bytes, sent: &Bytes) -> Result<(), Denial> {
    if sent.is_empty() {
        return Ok(());
    }
    if request.headers.contains("content-encoding") {
        return Err(to_be_rewritten("the body has a content coding, which would have to be taken off"));
    }
    if held == sent {
        return Ok(());
    }
    let is_object = trim_blanks(sent).starts_with(b"{");
    if call.body != BodyRule::EmptyMessage || !is_object {
        return Err(to_be_rewritten("the body would have to be sent in another form"));
    }
    // Typed as something else, it may be read as a form.
    let media_type = media_type(request)?;
    if request.headers.contains("content-type") && media_type.as_deref() != Some("application/json") {
        return Err(to_be_rewritten("the body's content type would have to be `application/json`"));
    }
    // The body was judged with all of its path; `{}` and the name that the path has are what is left.
    let fields = message::parse(sent)?;
    message::agree_with_path(&fields, call)
}

/// The denial of a request that would have to be sent anew in another form.
pub fn to_be_rewritten(why: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::new(Reason::RewriteNeeded, why).told()
}
