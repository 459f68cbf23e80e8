//! A form that stands for the query of a GET.
//!
//! Google's clients send a GET whose target would be long as a POST with `X-HTTP-Method-Override: GET`, and its query as
//! the body. The head was judged as the GET that it stands for. Here the pairs of the form become pairs of its query, by
//! the rules of a query, and the backend gets a GET without a body.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::content::{decoded, refused};
use crate::catalog::Call;
use crate::http::coding::ContentCoding;
use crate::http::request::Request;
use crate::reason::{Denial, Reason};

/// Whether the body of a request is the query of the GET that it stands for.
pub(crate) fn stands_for_query(request: &Request) -> bool {
    request.method == Method::GET && request.overridden.is_some()
}

/// The denial of a body that does not say that it is a form.
pub(super) fn not_a_form() -> Denial {
    refused(
        "the body of a GET that is sent as a POST is its query, and its content type is not \
         `application/x-www-form-urlencoded`",
    )
}

/// The denial of a form that makes the target longer than `limit` bytes.
pub(crate) fn too_long(limit: u64) -> Denial {
    let detail = format!("the query in the body makes the request target longer than {limit} bytes");
    Denial::new(Reason::TargetTooLong, detail).told()
}

/// The request with the pairs of its form in its query.
///
/// # Errors
/// 400 for everything that is refused in a query, 414 where the target gets longer than `limit` bytes.
pub(crate) fn applied(
    request: &Arc<Request>,
    call: &Call,
    body: &Bytes,
    coding: ContentCoding,
    is_typed: bool,
    limit: u64,
) -> Result<Arc<Request>, Denial> {
    let form = decoded(body, coding, limit, || too_long(limit))?;
    if form.is_empty() {
        return Ok(request.clone());
    }
    if !is_typed {
        return Err(not_a_form());
    }
    let in_form =
        |denial: &Denial| refused(format!("in the body, which is the query of a GET: {}", denial.detail()));
    let text = std::str::from_utf8(&form)
        .map_err(|_| refused("the body, which is the query of a GET, is not ASCII"))?;
    let query = request.query.with_form(text).map_err(|denial| in_form(&denial))?;
    if let Some(key) = query.keys().find(|key| call.binds_query_key(key)) {
        return Err(in_form(&crate::http::query::refused(key)));
    }
    let request = Request { query, ..Request::clone(request) };
    if request.target().len() as u64 > limit {
        return Err(too_long(limit));
    }
    Ok(Arc::new(request))
}
