//! Opaque tokens: their issuer is asked what they are, once in a while.
//!
//! ```text
//! token ─► recall ─► known: caller or denial              on the request path: no I/O, no waiting
//!            │
//!            └► unknown ─► look_up ─► under way? ─► join it ─────────────────────────┐
//!                                      │                                             ▼
//!                                      └► one of few ─► endpoint ─► verdict::Rules ─► answers ─► caller or denial
//! ```
//!
//! What cannot be learnt is not decided: the client reads 503, never 401, and is never let through. The lookup runs in a
//! task of its own, so that a client which goes away takes nothing from the others that wait for it.

pub(super) mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use self::cache::{Answers, During, Key, key};
use self::client::{AskError, Endpoint};
use self::in_flight::{Admission, Traffic};
use self::settings::TokenEndpoint;
use self::verdict::{Rules, Word};
use super::settings::{IssuerSettings, SettingsError};
use super::{Caller, issuer};
use crate::reason::{Denial, Reason};

/// A clock that is set back by more ends what was learnt in its future.
const CLOCK_SET_BACK: Duration = Duration::from_secs(60);
/// How long an answer that says nothing stands for the token that it is about.
const NOTHING_LEARNT: Duration = Duration::from_secs(1);

/// What came of a lookup, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup<'l> {
    /// The issuer's name.
    pub issuer: &'l str,
    /// What came of it.
    pub outcome: LookupOutcome,
    /// How long the issuer took; `None` where it was not asked.
    pub duration: Option<Duration>,
}

/// What comes of lookups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOutcome {
    /// The token is good.
    Active,
    /// The issuer says that it is not.
    Inactive,
    /// The issuer says that it is, and the gate's rules refuse it: another audience, nobody whom policy could name.
    Refused,
    /// No answer, or one that says nothing.
    Failed,
    /// Not asked: too many lookups are under way, or one has just failed.
    Unasked,
}

impl LookupOutcome {
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

/// Who a token speaks for, or why it speaks for nobody.
pub(super) type Judged = Result<Arc<Caller>, Denial>;

/// An issuer whose tokens are opaque.
pub(super) struct OpaqueIssuer {
    office: Arc<Office>,
    known: Arc<Known>,
}

/// What asking takes.
struct Office {
    rules: Rules,
    settings: TokenEndpoint,
    endpoint: Endpoint,
}

/// What has been learnt and is being learnt: what outlives a reload.
struct Known {
    answers: Answers,
    traffic: Traffic,
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
        let asked = Endpoint::load(index, &endpoint).map_err(|error| vec![error]);
        let (identity, asked) = match (identity, asked) {
            (Ok(identity), Ok(asked)) => (identity, asked),
            (identity, asked) => {
                let mut errors = identity.err().unwrap_or_default();
                errors.extend(asked.err().into_iter().flatten());
                return Err(errors);
            }
        };
        let rules = Rules { name: settings.name.as_str().into(), settings, identity };
        let known = Known { answers: Answers::new(), traffic: Traffic::new() };
        Ok(Self {
            office: Arc::new(Office { rules, settings: endpoint, endpoint: asked }),
            known: Arc::new(known),
        })
    }

    /// The issuer's name in the operator's file.
    pub(super) fn name(&self) -> &str {
        &self.office.rules.name
    }

    /// `iss`.
    pub(super) fn issuer(&self) -> &str {
        &self.office.rules.settings.issuer
    }

    /// Whether a token may be one of this issuer's.
    pub(super) fn may_have_made(&self, token: &str) -> bool {
        token.starts_with(&self.office.settings.prefix)
    }

    /// Takes over what was learnt before a reload, if nothing has changed that it hangs on. Secrets may have.
    pub(super) fn take_over(&mut self, previous: &Self) {
        if self.office.rules.settings == previous.office.rules.settings {
            self.known = Arc::clone(&previous.known);
        }
    }

    /// What is known of a token, without asking.
    pub(super) fn recall(&self, token: &str, now: SystemTime) -> Option<Judged> {
        self.known.answers.recall(&key(token), now)
    }

    /// What the issuer says of a token, which is asked for unless it is known or being asked for.
    ///
    /// # Errors
    /// Where the token is not good; [`Reason::NotReady`] where nothing can be learnt of it.
    pub(super) async fn look_up(
        &self,
        token: &str,
        now: SystemTime,
        observe: impl FnOnce(&Lookup<'_>) + Send + 'static,
    ) -> Judged {
        let mut answer = match self.join_or_start(token, now, observe) {
            Step::Done(judged) => return judged,
            Step::Wait(answer) => answer,
        };
        let judged = match answer.wait_for(Option::is_some).await {
            Ok(judged) => judged.clone(),
            // The task ended in a panic.
            Err(_) => None,
        };
        judged.unwrap_or_else(|| Err(self.office.unknown("the lookup broke off")))
    }

    fn join_or_start(
        &self,
        token: &str,
        now: SystemTime,
        observe: impl FnOnce(&Lookup<'_>) + Send + 'static,
    ) -> Step {
        let key = key(token);
        let Known { answers, traffic } = &*self.known;
        // A lookup that ends has written its answer down before it is no longer under way: nobody falls between the two.
        let admission = traffic.admit(key, || answers.recall(&key, now), || answers.was_good(&key));
        let (landing, sender, receiver) = match admission {
            Admission::UnderWay(answer) => return Step::Wait(answer),
            Admission::Known(judged) => return Step::Done(judged),
            Admission::Refused(why) => {
                let issuer = &self.office.rules.name;
                observe(&Lookup { issuer, outcome: LookupOutcome::Unasked, duration: None });
                return Step::Done(Err(self.office.unknown(why)));
            }
            Admission::Go(landing, sender, receiver) => (landing, sender, receiver),
        };
        let (office, known, token) = (self.office.clone(), self.known.clone(), token.to_owned());
        tokio::spawn(async move {
            let started = Instant::now();
            let said = office.ask(&token, now).await;
            let duration = started.elapsed();
            let (outcome, judged) = office.settle(said, key, &known, now + duration);
            drop(landing);
            observe(&Lookup { issuer: &office.rules.name, outcome, duration: Some(duration) });
            sender.send_replace(Some(judged));
        });
        Step::Wait(receiver)
    }
}

enum Step {
    Done(Judged),
    Wait(watch::Receiver<Option<Judged>>),
}

/// What an issuer said, and the length of its answer.
type Said = Result<(Word, usize), AskError>;

impl Office {
    async fn ask(&self, token: &str, asked: SystemTime) -> Said {
        let started = Instant::now();
        let answer = self.endpoint.ask(token).await?;
        let now = asked + started.elapsed();
        let word = self.rules.judge(
            answer.members,
            &self.settings.dialect,
            now,
            now + self.settings.remember_briefly,
        );
        Ok((word, answer.length))
    }

    /// Writes down what was learnt.
    fn settle(&self, said: Said, key: Key, known: &Known, now: SystemTime) -> (LookupOutcome, Judged) {
        let from = now.checked_sub(CLOCK_SET_BACK).unwrap_or(SystemTime::UNIX_EPOCH);
        let briefly = During { from, until: now + self.settings.remember_briefly };
        let answers = &known.answers;
        if said.is_ok() {
            known.traffic.answered();
        }
        match said {
            Ok((Word::Good(good), length)) => {
                let begins = good.begins.checked_sub(self.rules.settings.clock_skew);
                let during = During {
                    from: begins.unwrap_or(SystemTime::UNIX_EPOCH).max(from),
                    until: good.caller.expires.min(now + self.settings.remember),
                };
                let caller = Arc::new(good.caller);
                answers.good(key, caller.clone(), during, length);
                (LookupOutcome::Active, Ok(caller))
            }
            Ok((Word::Inactive(denial), _)) => {
                answers.bad(key, denial.clone(), briefly);
                (LookupOutcome::Inactive, Err(denial))
            }
            Ok((Word::Refused(denial), _)) => {
                answers.bad(key, denial.clone(), briefly);
                (LookupOutcome::Refused, Err(denial))
            }
            Ok((Word::Nothing(why), _)) => self.nothing_learnt(why.to_owned(), key, known, now),
            Err(error) => {
                if let Some(outage) = error.outage() {
                    known.traffic.failed(key, outage, answers.was_good(&key));
                }
                self.nothing_learnt(error.to_string(), key, known, now)
            }
        }
    }

    /// An answer that says nothing of this token may be all that there is to have about it: no other waits for it.
    fn nothing_learnt(
        &self,
        why: String,
        key: Key,
        known: &Known,
        now: SystemTime,
    ) -> (LookupOutcome, Judged) {
        if known.traffic.may_complain() {
            self.complain(&why);
        }
        let denial = self.unknown(&why);
        let from = now.checked_sub(CLOCK_SET_BACK).unwrap_or(SystemTime::UNIX_EPOCH);
        known.answers.nothing(key, denial.clone(), During { from, until: now + NOTHING_LEARNT });
        (LookupOutcome::Failed, Err(denial))
    }

    fn complain(&self, why: &str) {
        let (issuer, url) = (&*self.rules.name, self.endpoint.url());
        tracing::warn!(issuer, url, "cannot look up tokens: {why}");
    }

    /// Nothing can be decided about a token. That is no word against it.
    fn unknown(&self, why: &str) -> Denial {
        let detail = format!("issuer `{}` has not said what the token is: {why}", self.rules.name);
        Denial::new(Reason::NotReady, detail)
    }
}

#[cfg(test)]
mod tests;
mod cache;
mod client;
mod in_flight;
pub(super) mod secret;
mod verdict;
