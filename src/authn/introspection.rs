//! Opaque tokens: the gate asks their issuer what they are, and remembers the answer for a while.
//!
//! ```text
//! token ─► recall ─► known: caller or denial              on the request path: no I/O, no waiting
//!            │
//!            └► unknown ─► look_up ─► under way? ─► join it ─────────────────────────┐
//!                                      │                                             ▼
//!                                      └► one of few ─► endpoint ─► verdict::Rules ─► answers ─► caller or denial
//! ```
//!
//! Without an answer nothing is decided: the client reads 503, never 401, and is never let through. The lookup runs in
//! a task of its own, so that a client which goes away does not end it for the others that wait.

mod cache;
mod client;
mod in_flight;
pub(super) mod secret;
mod verdict;
pub(super) mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use self::cache::{JudgedToken, TokenDigest, Validity, VerdictCache, key};
use self::client::{IntrospectionClient, IntrospectionError};
use self::in_flight::{LookupLimits, LookupStart};
use self::settings::TokenEndpoint;
use self::verdict::{Rules, Verdict};
use super::issuer;
use super::settings::{IssuerSettings, SettingsError};
use crate::reason::{Denial, Reason};

/// Answers that lie further in the future than this are dropped: the clock was set back.
const CLOCK_SET_BACK: Duration = Duration::from_secs(60);
/// How long an answer that says nothing counts for its token.
const NOTHING_LEARNT: Duration = Duration::from_secs(1);

/// The outcome of a lookup, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup<'l> {
    /// The issuer's name.
    pub issuer: &'l str,
    /// The outcome.
    pub outcome: LookupOutcome,
    /// How long the issuer took; `None` where it was not asked.
    pub duration: Option<Duration>,
}

/// The outcomes of lookups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOutcome {
    /// The token is good.
    Active,
    /// The issuer says that it is not.
    Inactive,
    /// The issuer says that it is, and the gate's rules refuse it: another audience, or no principal that policy could
    /// name.
    Refused,
    /// No answer, or one that says nothing.
    Failed,
    /// Not asked: too many lookups are under way, or one has just failed.
    Unasked,
}

impl LookupOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Active, Self::Inactive, Self::Refused, Self::Failed, Self::Unasked];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unasked => "unasked",
        }
    }
}

/// An issuer whose tokens are opaque.
#[derive(Clone)]
pub(super) struct OpaqueIssuer {
    introspector: Arc<Introspector>,
    known: Arc<LookupState>,
}

/// What it takes to ask an issuer: its rules and the client of its endpoint.
struct Introspector {
    rules: Rules,
    settings: TokenEndpoint,
    endpoint: IntrospectionClient,
}

/// The answers so far, and the lookups under way: they outlive a reload.
struct LookupState {
    answers: VerdictCache,
    limits: LookupLimits,
}

impl OpaqueIssuer {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// A file that cannot be read or used, an expression that does not compile.
    pub(super) fn load(
        index: usize,
        settings: IssuerSettings,
        endpoint: TokenEndpoint,
    ) -> Result<Self, Vec<SettingsError>> {
        let identity = issuer::identity(index, &settings);
        let asked = IntrospectionClient::load(index, &endpoint).map_err(|error| vec![error]);
        let (identity, asked) = match (identity, asked) {
            (Ok(identity), Ok(asked)) => (identity, asked),
            (identity, asked) => {
                let mut errors = identity.err().unwrap_or_default();
                errors.extend(asked.err().into_iter().flatten());
                return Err(errors);
            }
        };
        let rules = Rules { name: settings.name.as_str().into(), settings, identity };
        let known = LookupState { answers: VerdictCache::new(), limits: LookupLimits::new() };
        Ok(Self {
            introspector: Arc::new(Introspector { rules, settings: endpoint, endpoint: asked }),
            known: Arc::new(known),
        })
    }

    /// The issuer's name in the operator's file.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.introspector.rules.name
    }

    /// `iss`.
    pub(super) fn issuer(&self) -> &str {
        &self.introspector.rules.settings.issuer
    }

    /// Whether a token may be one of this issuer's.
    pub(super) fn may_have_made(&self, token: &str) -> bool {
        token.starts_with(&self.introspector.settings.prefix)
    }

    /// Keeps the answers from before a reload, if nothing has changed that they depend on. Secrets may have.
    pub(super) fn take_over(&mut self, previous: &Self) {
        if self.introspector.rules.settings == previous.introspector.rules.settings {
            self.known = Arc::clone(&previous.known);
        }
    }

    /// What is known of a token, without asking.
    pub(super) fn recall(&self, token: &str, now: SystemTime) -> Option<JudgedToken> {
        self.known.answers.recall(&key(token), now)
    }

    /// The issuer's answer about a token: it is asked unless the answer is known or on its way.
    ///
    /// # Errors
    /// Where the token is not good; [`Reason::NotReady`] where there is no answer.
    pub(super) async fn look_up(
        &self,
        token: &str,
        now: SystemTime,
        observe: impl FnOnce(&Lookup<'_>) + Send + 'static,
    ) -> JudgedToken {
        let mut answer = match self.join_or_start(token, now, observe) {
            LookupStep::Done(judged) => return judged,
            LookupStep::Wait(answer) => answer,
        };
        let judged = match answer.wait_for(Option::is_some).await {
            Ok(judged) => judged.clone(),
            // The task panicked.
            Err(_) => None,
        };
        judged.unwrap_or_else(|| Err(self.introspector.unknown("the lookup broke off")))
    }

    fn join_or_start(
        &self,
        token: &str,
        now: SystemTime,
        observe: impl FnOnce(&Lookup<'_>) + Send + 'static,
    ) -> LookupStep {
        let key = key(token);
        let LookupState { answers, limits } = &*self.known;
        // A lookup writes its answer down before it stops counting as under way, so no request can miss both.
        let admission = limits.admit(key, || answers.recall(&key, now), || answers.was_good(&key));
        let (in_flight, sender, receiver) = match admission {
            LookupStart::UnderWay(answer) => return LookupStep::Wait(answer),
            LookupStart::Known(judged) => return LookupStep::Done(judged),
            LookupStart::Refused(why) => {
                let issuer = &self.introspector.rules.name;
                observe(&Lookup { issuer, outcome: LookupOutcome::Unasked, duration: None });
                return LookupStep::Done(Err(self.introspector.unknown(why)));
            }
            LookupStart::Go(in_flight, sender, receiver) => (in_flight, sender, receiver),
        };
        let (introspector, known, token) = (self.introspector.clone(), self.known.clone(), token.to_owned());
        tokio::spawn(async move {
            let started = Instant::now();
            let said = introspector.ask(&token, now).await;
            let duration = started.elapsed();
            let (outcome, judged) = introspector.settle(said, key, &known, now + duration);
            drop(in_flight);
            observe(&Lookup { issuer: &introspector.rules.name, outcome, duration: Some(duration) });
            sender.send_replace(Some(judged));
        });
        LookupStep::Wait(receiver)
    }
}

enum LookupStep {
    Done(JudgedToken),
    Wait(watch::Receiver<Option<JudgedToken>>),
}

/// What an issuer said, and the length of its answer.
type IntrospectionResult = Result<(Verdict, usize), IntrospectionError>;

impl Introspector {
    async fn ask(&self, token: &str, asked: SystemTime) -> IntrospectionResult {
        let started = Instant::now();
        let answer = self.endpoint.ask(token).await?;
        let now = asked + started.elapsed();
        let verdict = self.rules.judge(
            answer.members,
            &self.settings.dialect,
            now,
            now + self.settings.remember_briefly,
        );
        Ok((verdict, answer.length))
    }

    /// Writes the answer down.
    fn settle(
        &self,
        said: IntrospectionResult,
        key: TokenDigest,
        known: &LookupState,
        now: SystemTime,
    ) -> (LookupOutcome, JudgedToken) {
        let from = now.checked_sub(CLOCK_SET_BACK).unwrap_or(SystemTime::UNIX_EPOCH);
        let briefly = Validity { from, until: now + self.settings.remember_briefly };
        let answers = &known.answers;
        if said.is_ok() {
            known.limits.answered();
        }
        match said {
            Ok((Verdict::Active(good), length)) => {
                let begins = good.begins.checked_sub(self.rules.settings.clock_skew);
                let during = Validity {
                    from: begins.unwrap_or(SystemTime::UNIX_EPOCH).max(from),
                    until: good.caller.expires.min(now + self.settings.remember),
                };
                let caller = Arc::new(good.caller);
                answers.good(key, caller.clone(), during, length);
                (LookupOutcome::Active, Ok(caller))
            }
            Ok((Verdict::Inactive(denial), _)) => {
                answers.bad(key, denial.clone(), briefly);
                (LookupOutcome::Inactive, Err(denial))
            }
            Ok((Verdict::Refused(denial), _)) => {
                answers.bad(key, denial.clone(), briefly);
                (LookupOutcome::Refused, Err(denial))
            }
            Ok((Verdict::Unclear(why), _)) => self.nothing_learnt(why.to_owned(), key, known, now),
            Err(error) => {
                if let Some(outage) = error.outage() {
                    known.limits.failed(key, outage, answers.was_good(&key));
                }
                self.nothing_learnt(error.to_string(), key, known, now)
            }
        }
    }

    /// The issuer may say nothing about this one token, ever: no other token waits for it.
    fn nothing_learnt(
        &self,
        why: String,
        key: TokenDigest,
        known: &LookupState,
        now: SystemTime,
    ) -> (LookupOutcome, JudgedToken) {
        if known.limits.may_complain() {
            self.complain(&why);
        }
        let denial = self.unknown(&why).retry_after(NOTHING_LEARNT);
        let from = now.checked_sub(CLOCK_SET_BACK).unwrap_or(SystemTime::UNIX_EPOCH);
        known.answers.nothing(key, denial.clone(), Validity { from, until: now + NOTHING_LEARNT });
        (LookupOutcome::Failed, Err(denial))
    }

    fn complain(&self, why: &str) {
        let (issuer, url) = (&*self.rules.name, self.endpoint.url());
        tracing::warn!(issuer, url, "cannot look up tokens: {why}");
    }

    /// Nothing can be decided about a token. That does not count against it.
    fn unknown(&self, why: &str) -> Denial {
        let detail = format!("issuer `{}` has not said what the token is: {why}", self.rules.name);
        Denial::new(Reason::NotReady, detail)
    }
}

#[cfg(test)]
mod tests;
