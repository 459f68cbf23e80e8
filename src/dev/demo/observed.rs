//! What came back for a request, compared with what had to come.

use serde_json::Value;

use super::steps::{Expectation, ExpectedBody, StepRequest};
use crate::dev::backend::ReceivedRequest;
use crate::dev::wire::RawResponse;

/// An answer, and what the backend saw of the request.
pub(super) struct Observed {
    pub(super) answer: RawResponse,
    /// The requests that reached the backend.
    pub(super) reached: Vec<ReceivedRequest>,
}

impl Observed {
    /// Whether the answer is an operation that still runs.
    pub(super) fn is_running(&self) -> bool {
        self.answer.json().is_some_and(|operation| is(&operation, "/done", &false))
    }

    /// Compares with what had to come.
    pub(super) fn judge(&self, exchange: &StepRequest) -> Result<(), String> {
        match exchange.outcome {
            Expectation::Allowed(answered) | Expectation::Eventually(answered) => {
                self.expect_status(200)?;
                self.expect_answered(answered)?;
                self.expect_reached(exchange)
            }
            Expectation::Refused(reason) => {
                let entry = reason.entry();
                // Told first: nothing else matters as much.
                self.expect_not_reached()?;
                self.expect_status(entry.status)?;
                match error_reason(&self.answer) {
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
                if !is(&self.answer.json().unwrap_or_default(), "/error/status", "UNIMPLEMENTED") {
                    return Err("expected the error status UNIMPLEMENTED".to_owned());
                }
                self.expect_reached(exchange)
            }
        }
    }

    fn expect_status(&self, status: u16) -> Result<(), String> {
        let got = self.answer.status;
        if got == status { Ok(()) } else { Err(format!("expected status {status}, got {got}")) }
    }

    fn expect_answered(&self, answered: ExpectedBody) -> Result<(), String> {
        let body = self.answer.json().unwrap_or_default();
        let (expected, came) = match answered {
            ExpectedBody::Running => (
                "a running operation that nobody cancelled",
                is(&body, "/done", &false) && is(&body, "/metadata/requestedCancellation", &false),
            ),
            ExpectedBody::Cancelled => (
                "an operation that ended in error.code 1",
                is(&body, "/done", &true) && is(&body, "/error/code", &1),
            ),
            ExpectedBody::Finished => (
                "an operation that ended in a response",
                is(&body, "/done", &true) && body.get("response").is_some() && body.get("error").is_none(),
            ),
            ExpectedBody::EmptyObject => ("an empty object", self.answer.body == b"{}"),
            ExpectedBody::Nothing => ("an empty body", self.answer.body.is_empty()),
        };
        if came { Ok(()) } else { Err(format!("expected {expected}")) }
    }

    /// Once, as it was sent, and without a body.
    fn expect_reached(&self, exchange: &StepRequest) -> Result<(), String> {
        match self.reached.as_slice() {
            [request]
                if request.method == exchange.method
                    && request.target == exchange.target
                    && request.body.is_empty() =>
            {
                Ok(())
            }
            [] => Err("the backend never saw the request".to_owned()),
            [request] => Err(format!(
                "the backend saw another request: {} {} with {} bytes of body",
                request.method,
                request.target,
                request.body.len()
            )),
            several => Err(format!("the backend saw {} requests for one", several.len())),
        }
    }

    fn expect_not_reached(&self) -> Result<(), String> {
        match self.reached.first() {
            None => Ok(()),
            Some(request) => {
                Err(format!("the backend saw what was to be refused: {} {}", request.method, request.target))
            }
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
pub(super) fn error_reason(answer: &RawResponse) -> Option<String> {
    const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
    let body = answer.json()?;
    let details = body.pointer("/error/details")?.as_array()?;
    let info = details.iter().find(|detail| is(detail, "/@type", ERROR_INFO))?;
    info.get("reason")?.as_str().map(str::to_owned)
}
