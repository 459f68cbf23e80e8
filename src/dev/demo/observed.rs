//! What came back for a request, compared with what had to come.

use serde_json::Value;

use super::steps::{Expectation, ExpectedBody, StepRequest};
use crate::dev::backend::ReceivedRequest;
use crate::dev::wire::RawResponse;

/// A response, and what the backend saw of the request.
pub(super) struct Observed {
    pub(super) response: RawResponse,
    /// The requests that reached the backend.
    pub(super) reached: Vec<ReceivedRequest>,
}

impl Observed {
    /// Whether the response is an operation that still runs.
    pub(super) fn is_running(&self) -> bool {
        self.response.json().is_some_and(|operation| is(&operation, "/done", &false))
    }

    /// Compares with what had to come.
    pub(super) fn check(&self, request: &StepRequest) -> Result<(), String> {
        match request.expected {
            Expectation::Allowed(body) | Expectation::Eventually(body) => {
                self.expect_status(200)?;
                self.expect_body(body)?;
                self.expect_reached(request)
            }
            Expectation::EventuallyGone => {
                self.expect_status(404)?;
                self.expect_reached(request)
            }
            Expectation::Refused(reason) => {
                let entry = reason.entry();
                // First, since nothing else matters as much.
                self.expect_not_reached()?;
                self.expect_status(entry.status)?;
                match error_reason(&self.response) {
                    Some(name) if name == entry.name => Ok(()),
                    other => Err(format!(
                        "expected the reason {}, got {}",
                        entry.name,
                        other.as_deref().unwrap_or("none")
                    )),
                }
            }
            Expectation::Unimplemented => {
                self.expect_status(501)?;
                if !is(&self.response.json().unwrap_or_default(), "/error/status", "UNIMPLEMENTED") {
                    return Err("expected the error status UNIMPLEMENTED".to_owned());
                }
                self.expect_reached(request)
            }
        }
    }

    fn expect_status(&self, status: u16) -> Result<(), String> {
        let got = self.response.status;
        if got == status { Ok(()) } else { Err(format!("expected status {status}, got {got}")) }
    }

    fn expect_body(&self, expected: ExpectedBody) -> Result<(), String> {
        let body = self.response.json().unwrap_or_default();
        let (what, came) = match expected {
            ExpectedBody::Running => (
                "a running operation without a cancel",
                is(&body, "/done", &false) && is(&body, "/metadata/requestedCancellation", &false),
            ),
            ExpectedBody::Cancelled => (
                "an operation that ended in error.code 1",
                is(&body, "/done", &true) && is(&body, "/error/code", &1),
            ),
            ExpectedBody::Failed => (
                "an operation that ended in another error",
                is(&body, "/done", &true) && !is(&body, "/error/code", &1) && body.get("error").is_some(),
            ),
            ExpectedBody::Finished => (
                "an operation that ended in a response",
                is(&body, "/done", &true) && body.get("response").is_some() && body.get("error").is_none(),
            ),
            ExpectedBody::EmptyObject => ("an empty object", self.response.body == b"{}"),
            ExpectedBody::Nothing => ("an empty body", self.response.body.is_empty()),
        };
        if came { Ok(()) } else { Err(format!("expected {what}")) }
    }

    /// Once, as it was sent, and without a body.
    fn expect_reached(&self, request: &StepRequest) -> Result<(), String> {
        match self.reached.as_slice() {
            [seen]
                if seen.method == request.method && seen.target == request.target && seen.body.is_empty() =>
            {
                Ok(())
            }
            [] => Err("the backend never saw the request".to_owned()),
            [seen] => Err(format!(
                "the backend saw another request: {} {} with {} bytes of body",
                seen.method,
                seen.target,
                seen.body.len()
            )),
            several => Err(format!("the backend saw {} requests for one", several.len())),
        }
    }

    fn expect_not_reached(&self) -> Result<(), String> {
        match self.reached.first() {
            None => Ok(()),
            Some(request) => Err(format!(
                "the backend saw a request that must be refused: {} {}",
                request.method, request.target
            )),
        }
    }
}

/// Whether a JSON pointer (RFC 6901) leads to this value.
fn is<V: ?Sized>(body: &Value, pointer: &str, expected: &V) -> bool
where
    Value: PartialEq<V>,
{
    body.pointer(pointer).is_some_and(|value| value == expected)
}

/// ErrorInfo.reason of a google.rpc error.
pub(super) fn error_reason(response: &RawResponse) -> Option<String> {
    const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
    let body = response.json()?;
    let details = body.pointer("/error/details")?.as_array()?;
    let info = details.iter().find(|detail| is(detail, "/@type", ERROR_INFO))?;
    info.get("reason")?.as_str().map(str::to_owned)
}
