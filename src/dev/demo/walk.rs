//! The walk: sends the requests of each step through opgate, and compares the responses and the log of the backend with
//! what was expected.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::observed::Observed;
use super::print::{Detail, ShownStep, print_step};
use super::steps::{Expectation, StepBody, StepCaller, StepRequest, steps};
use crate::dev::backend::Backend;
use crate::dev::issuer::DevIssuer;
use crate::dev::wire;

/// How long a cancelled operation may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two looks at it.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// The lifetime of the tokens.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// How long ago an expired token ended: well beyond any clock skew.
const EXPIRED_AGO: Duration = Duration::from_secs(4 * 3600);

/// Everything that a walk needs.
pub struct DemoWalk<'w> {
    /// The address of the listener of opgate.
    pub gate: SocketAddr,
    /// Mints the tokens.
    pub issuer: &'w DevIssuer,
    /// Its log says what got through. No other client may send to it meanwhile.
    pub backend: &'w Backend,
}

/// The result of a walk.
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
    /// Operations whose end was seen after a cancel.
    pub ends_seen: usize,
}

impl DemoWalk<'_> {
    /// Walks through every step and prints it.
    ///
    /// # Errors
    /// Where nothing can be printed. Any other failure is that of a step.
    pub async fn run(&self, detail: Detail, out: &mut dyn Write) -> io::Result<Tally> {
        let mut tally = Tally::default();
        for (index, step) in steps().iter().enumerate() {
            let mut observed = Vec::new();
            let mut failures = Vec::new();
            for request in &step.requests {
                let (came, failure) = self.perform(request, &mut tally).await;
                observed.push(came);
                failures.extend(failure);
            }
            *(if failures.is_empty() { &mut tally.passed } else { &mut tally.failed }) += 1;
            print_step(out, detail, &ShownStep { number: index + 1, step, observed, failures })?;
        }
        Ok(tally)
    }

    /// Sends a request, again and again where its expectation asks for that, and says what was wrong with the last
    /// response.
    async fn perform(&self, request: &StepRequest, tally: &mut Tally) -> (Option<Observed>, Option<String>) {
        let bytes = match self.bytes(request) {
            Ok(bytes) => bytes,
            Err(error) => return (None, Some(error)),
        };
        let deadline = Instant::now() + END_TIMEOUT;
        loop {
            let before = self.backend.requests().len();
            tally.sent += 1;
            tally.meant_to_arrive += usize::from(!matches!(request.expected, Expectation::Refused(_)));
            let response = match wire::exchange(self.gate, &bytes).await {
                Ok(response) => response,
                Err(error) => return (None, Some(format!("no response: {error}"))),
            };
            let reached = self.backend.requests().into_iter().skip(before).collect();
            let observed = Observed { response, reached };
            let failure = observed.check(request).err();
            let is_about_an_end =
                matches!(request.expected, Expectation::Eventually(_) | Expectation::EventuallyGone);
            let again = is_about_an_end && observed.is_running() && Instant::now() < deadline;
            if !again {
                tally.ends_seen += usize::from(is_about_an_end && failure.is_none());
                return (Some(observed), failure);
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// The bytes of a request.
    fn bytes(&self, request: &StepRequest) -> Result<Vec<u8>, String> {
        let StepRequest { method, target, .. } = request;
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: opgate-demo\r\nConnection: close\r\n",
            request.service.host(),
            self.gate.port()
        );
        if let Some(caller) = request.caller {
            let token = self.token(caller).map_err(|error| format!("no token: {error}"))?;
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        Ok(match request.body {
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

    /// The walk without opgate, straight to the backend: as printed, and with its numbers.
    async fn without_a_gate(detail: Detail) -> (String, Tally, usize) {
        let (issuer, backend) = (DevIssuer::start().unwrap(), Backend::start().unwrap());
        let walk = DemoWalk { gate: backend.address(), issuer: &issuer, backend: &backend };
        let mut out = Vec::new();
        let tally = walk.run(detail, &mut out).await.unwrap();
        let text = String::from_utf8(out).unwrap().replace(&backend.address().port().to_string(), "PORT");
        (text, tally, backend.requests().len())
    }

    /// What is meant to be allowed passes, and every refusal that does not happen is noticed.
    #[tokio::test]
    async fn without_a_gate_every_step_with_a_refusal_fails() {
        let (text, tally, reached) = without_a_gate(Detail::Full).await;

        let refuses = |step: &&WalkStep| {
            step.requests.iter().any(|request| matches!(request.expected, Expectation::Refused(_)))
        };
        // The last step looks at the operation that the refused requests aimed at: now it was cancelled.
        let expected = steps().iter().filter(refuses).count() + 1;
        assert_eq!(tally.failed, expected, "{text}");
        assert_eq!(tally.passed, steps().len() - expected);
        assert_eq!(reached, tally.sent);
        insta::with_settings!({ filters => vec![(r"running, \d+% done", "running, N% done")] }, {
            insta::assert_snapshot!(text);
        });
    }

    #[tokio::test]
    async fn a_brief_step_is_one_line_and_its_failures() {
        let (text, tally, _) = without_a_gate(Detail::Brief).await;
        let lines =
            |verdict: &str| text.lines().filter(|line| line.contains(&format!(". {verdict} "))).count();
        assert_eq!((lines("ok "), lines("FAILED")), (tally.passed, tally.failed), "{text}");
        insta::assert_snapshot!(text);
    }

    #[tokio::test]
    async fn a_gate_that_is_gone_fails_every_step() {
        let (issuer, backend) = (DevIssuer::start().unwrap(), Backend::start().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = listener.local_addr().unwrap();
        drop(listener);
        let tally = DemoWalk { gate, issuer: &issuer, backend: &backend }
            .run(Detail::Brief, &mut Vec::new())
            .await
            .unwrap();
        assert_eq!((tally.passed, tally.failed), (0, steps().len()));
    }

    #[tokio::test]
    async fn requests_are_sent_as_they_are_written() {
        let (issuer, backend) = (DevIssuer::start().unwrap(), Backend::start().unwrap());
        let walk = DemoWalk { gate: "127.0.0.1:80".parse().unwrap(), issuer: &issuer, backend: &backend };
        let requests: Vec<String> = steps()
            .iter()
            .flat_map(|step| &step.requests)
            .map(|request| String::from_utf8(walk.bytes(request).unwrap()).unwrap())
            .collect();
        assert!(requests.iter().any(|request| request.starts_with("POST /v1/projects/other/../demo/")));
        assert!(requests.iter().any(|request| request.ends_with("\r\n\r\n42\r\n{\"name\":\"projects/other/locations/us-central1/operations/train-1\"}\r\n0\r\n\r\n")));
        let without_token =
            requests.iter().filter(|request| !request.contains("\r\nAuthorization: Bearer ey"));
        assert_eq!(without_token.count(), 1);
        assert!(requests.iter().all(|request| request.contains(".localhost:80\r\n")));
    }
}
