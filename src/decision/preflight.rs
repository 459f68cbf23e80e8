//! Preflights: what a browser asks before it sends a page's request (Fetch, "CORS-preflight fetch").
//!
//! The gate answers them itself where the service says `cors`. A preflight has no credential, and its answer tells a page
//! nothing that 404 and 405 do not tell: a method that is not routed is answered as ever.

use http::{HeaderName, HeaderValue, Method};

use super::snapshot::Snapshot;
use crate::http::{Preflight, Request};
use crate::reason::{Denial, Reason};

/// The fields of the answer to a preflight. `None` where the request is not one, or the gate has no answer to it: then it is
/// decided like any other request.
pub fn preflight(
    snapshot: &Snapshot,
    request: &Request,
) -> Option<Result<Vec<(HeaderName, HeaderValue)>, Denial>> {
    let preflight = Preflight::of(request)?;
    let routed = |method: &Method| snapshot.catalog.route(request.host.as_str(), method, &request.path);
    let call = match routed(&preflight.method) {
        Ok(call) => call,
        Err(denial) => {
            // The service's backend may take OPTIONS; of this one the gate is asked, and there is nothing to ask for.
            let options = routed(&Method::OPTIONS).ok()?;
            return options.method.service.cors.as_ref().map(|_| Err(denial));
        }
    };
    let cors = call.method.service.cors.as_ref()?;
    let answered = request.directed().and_then(|()| {
        cors.preflight(&preflight).map_err(|why| Denial::new(Reason::PreflightRefused, why).told())
    });
    Some(answered)
}
