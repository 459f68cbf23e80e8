//! The walk: sends each step's requests through the gate and judges what came back and what the backend saw.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::observed::Observed;
use super::print::print_exchange;
use super::steps::{Expectation, StepBody, StepCaller, StepRequest, steps};
use crate::dev::backend::Backend;
use crate::dev::issuer::Issuer;
use crate::dev::wire;

/// For a cancelled operation to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at it.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// How long the tokens are good for.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// How long ago an expired one was: well beyond any clock skew.
const EXPIRED_AGO: Duration = Duration::from_secs(4 * 3600);

/// Everything that a walk needs.
pub struct DemoWalk<'w> {
    /// Where the gate listens.
    pub gate: SocketAddr,
    /// Mints the tokens.
    pub issuer: &'w Issuer,
    /// Says what got through. Nobody else may send to it meanwhile.
    pub backend: &'w Backend,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps that came out as expected.
    pub passed: usize,
    /// Steps that did not.
    pub failed: usize,
    /// Requests sent.
    pub sent: usize,
    /// Requests that the backend was meant to see.
    pub meant_to_arrive: usize,
}

impl DemoWalk<'_> {
    /// Walks through every step and prints it.
    ///
    /// # Errors
    /// Where nothing can be printed. Whatever else goes wrong is a step that failed.
    pub async fn run(&self, out: &mut dyn Write) -> io::Result<Tally> {
        let mut tally = Tally::default();
        for (index, step) in steps().iter().enumerate() {
            writeln!(out, "\n{:>2}. {}", index + 1, step.title)?;
            let mut failures = Vec::new();
            for exchange in &step.exchanges {
                let (answer, failure) = self.perform(exchange, &mut tally).await;
                let seen = answer.as_ref().map_or(0, |done| done.reached.len());
                print_exchange(out, exchange, answer.as_ref().map(|done| &done.answer), seen)?;
                failures.extend(failure);
            }
            if failures.is_empty() {
                tally.passed += 1;
                writeln!(out, "    ok      {}", step.proves)?;
            } else {
                tally.failed += 1;
                for failure in failures {
                    writeln!(out, "    FAILED  {failure}")?;
                }
            }
        }
        Ok(tally)
    }

    /// Sends a request, again and again where its outcome asks for that, and says what was wrong with the last answer.
    async fn perform(&self, exchange: &StepRequest, tally: &mut Tally) -> (Option<Observed>, Option<String>) {
        let request = match self.request(exchange) {
            Ok(request) => request,
            Err(error) => return (None, Some(error)),
        };
        let deadline = Instant::now() + END_TIMEOUT;
        loop {
            let before = self.backend.requests().len();
            tally.sent += 1;
            tally.meant_to_arrive += usize::from(!matches!(exchange.outcome, Expectation::Refused(_)));
            let answer = match wire::exchange(self.gate, &request).await {
                Ok(answer) => answer,
                Err(error) => return (None, Some(format!("no answer: {error}"))),
            };
            let reached = self.backend.requests().into_iter().skip(before).collect();
            let performed = Observed { answer, reached };
            let failure = performed.judge(exchange).err();
            let again = matches!(exchange.outcome, Expectation::Eventually(_))
                && performed.is_running()
                && Instant::now() < deadline;
            if !again {
                return (Some(performed), failure);
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// The bytes of a request.
    fn request(&self, exchange: &StepRequest) -> Result<Vec<u8>, String> {
        let StepRequest { method, target, .. } = exchange;
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: opgate-demo\r\nConnection: close\r\n",
            exchange.service.host(),
            self.gate.port()
        );
        if let Some(caller) = exchange.caller {
            let token = self.token(caller).map_err(|error| format!("no token: {error}"))?;
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        Ok(match exchange.body {
            StepBody::Empty if *method == "GET" => format!("{head}\r\n"),
            StepBody::Empty => format!("{head}Content-Length: 0\r\n\r\n"),
            StepBody::Length(body) => format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
            StepBody::Chunked(body) => {
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
            }
        }
        .into_bytes())
    }

    fn token(&self, caller: StepCaller) -> Result<String, crate::signing::SigningError> {
        let StepCaller { email, scope, expired } = caller;
        if expired {
            self.issuer.expired_token(email, &[scope], EXPIRED_AGO)
        } else {
            self.issuer.token(email, &[scope], TOKEN_LIFETIME)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::demo::steps::WalkStep;

    /// Straight to the backend, with no gate between them: what is meant to be allowed passes, and every refusal that
    /// does not happen is noticed.
    #[tokio::test]
    async fn without_a_gate_every_step_with_a_refusal_fails() {
        let (issuer, backend) = (Issuer::start().unwrap(), Backend::start().unwrap());
        let walk = DemoWalk { gate: backend.address(), issuer: &issuer, backend: &backend };
        let mut out = Vec::new();
        let tally = walk.run(&mut out).await.unwrap();
        let text = String::from_utf8(out).unwrap();

        let refuses = |step: &&WalkStep| {
            step.exchanges.iter().any(|exchange| matches!(exchange.outcome, Expectation::Refused(_)))
        };
        // The last step looks at the operation that the refused requests aimed at: now it was cancelled.
        let expected = steps().iter().filter(refuses).count() + 1;
        assert_eq!(tally.failed, expected, "{text}");
        assert_eq!(tally.passed, steps().len() - expected);
        assert_eq!(backend.requests().len(), tally.sent);

        let port = backend.address().port().to_string();
        let text = text.replace(&port, "PORT");
        insta::with_settings!({ filters => vec![(r"running, \d+% done", "running, N% done")] }, {
            insta::assert_snapshot!(text);
        });
    }

    #[tokio::test]
    async fn a_gate_that_is_gone_fails_every_step() {
        let (issuer, backend) = (Issuer::start().unwrap(), Backend::start().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = listener.local_addr().unwrap();
        drop(listener);
        let tally = DemoWalk { gate, issuer: &issuer, backend: &backend }.run(&mut Vec::new()).await.unwrap();
        assert_eq!((tally.passed, tally.failed), (0, steps().len()));
    }

    #[tokio::test]
    async fn requests_are_sent_as_they_are_written() {
        let (issuer, backend) = (Issuer::start().unwrap(), Backend::start().unwrap());
        let walk = DemoWalk { gate: "127.0.0.1:80".parse().unwrap(), issuer: &issuer, backend: &backend };
        let requests: Vec<String> = steps()
            .iter()
            .flat_map(|step| &step.exchanges)
            .map(|exchange| String::from_utf8(walk.request(exchange).unwrap()).unwrap())
            .collect();
        assert!(requests.iter().any(|request| request.starts_with("POST /v1/projects/other/../demo/")));
        assert!(requests.iter().any(|request| request.ends_with("\r\n\r\n42\r\n{\"name\":\"projects/other/locations/us-central1/operations/train-1\"}\r\n0\r\n\r\n")));
        let without_token =
            requests.iter().filter(|request| !request.contains("\r\nAuthorization: Bearer ey"));
        assert_eq!(without_token.count(), 1);
        assert!(requests.iter().all(|request| request.contains(".localhost:80\r\n")));
    }
}
