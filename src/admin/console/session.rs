//! Sessions of the console: a browser shows the token once, and a cookie from then on.
//!
//! The cookie holds a random id. The table holds its digest alone, so neither a copy of the table nor the time of a
//! look-up tells an id. A session ends after eight hours, with the process, and with the token that it was opened by.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authn::Secret;

/// Name of the cookie.
const COOKIE: &str = "opgate_session";

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(8 * 60 * 60);

/// Sessions at one time. One more ends the oldest.
const MOST_SESSIONS: usize = 64;

/// Wrong tokens of one network within a minute; then it has to wait.
const MOST_FAILURES: u32 = 10;
const FAILURES_WITHIN: Duration = Duration::from_secs(60);

/// Networks whose failures are counted. Beyond them, the count begins anew.
const MOST_NETWORKS: usize = 1_024;

type SessionKey = [u8; 32];

/// The sessions of one address.
#[derive(Debug, Default)]
pub(in crate::admin) struct Sessions {
    open: Mutex<HashMap<SessionKey, Session>>,
    failures: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

#[derive(Debug)]
struct Session {
    until: Instant,
    /// The token that was shown: the session ends where another one takes its place.
    opened_by: Arc<Secret>,
}

impl Sessions {
    /// Opens a session. Gives the cookie.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub(super) fn open(
        &self,
        opened_by: Arc<Secret>,
        now: Instant,
    ) -> Result<String, aws_lc_rs::error::Unspecified> {
        let mut id = [0; 32];
        rand::fill(&mut id)?;
        let id = URL_SAFE_NO_PAD.encode(id);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.until > now);
        if open.len() >= MOST_SESSIONS {
            let oldest = open.iter().min_by_key(|(_, session)| session.until).map(|(key, _)| *key);
            oldest.and_then(|key| open.remove(&key));
        }
        open.insert(key(&id), Session { until: now + LASTS, opened_by });
        Ok(cookie(&id, LASTS))
    }

    /// Whether a request is of a session that was opened by the token in force.
    pub(super) fn has(&self, headers: &HeaderMap, in_force: &Arc<Secret>, now: Instant) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        session_ids(headers).any(|id| {
            let session = open.get(&key(id));
            session.is_some_and(|session| session.until > now && Arc::ptr_eq(&session.opened_by, in_force))
        })
    }

    /// Ends the sessions of a request. Gives the cookie that makes the browser forget.
    pub(super) fn close(&self, headers: &HeaderMap) -> String {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for id in session_ids(headers) {
            open.remove(&key(id));
        }
        cookie("", Duration::ZERO)
    }

    /// Whether a network may try a token now.
    pub(super) fn may_try(&self, network: IpAddr, now: Instant) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&network).is_none_or(|(since, count)| {
            *count < MOST_FAILURES || now.duration_since(*since) >= FAILURES_WITHIN
        })
    }

    /// Counts a wrong token.
    pub(super) fn failed(&self, network: IpAddr, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST_NETWORKS && !failures.contains_key(&network) {
            failures.clear();
        }
        let (since, count) = failures.entry(network).or_insert((now, 0));
        if now.duration_since(*since) >= FAILURES_WITHIN {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }
}

fn key(id: &str) -> SessionKey {
    let mut key = [0; 32];
    // The digest has this length.
    for (to, from) in key.iter_mut().zip(digest(&SHA256, id.as_bytes()).as_ref()) {
        *to = *from;
    }
    key
}

/// No script reads it, and no other site's page sends it. Not `Secure`: the admin address speaks plain HTTP.
fn cookie(id: &str, lasts: Duration) -> String {
    format!("{COOKIE}={id}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", lasts.as_secs())
}

/// What a request shows as ids. Other servers of the same host may have set a cookie of this name as well.
fn session_ids(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, id)| *name == COOKIE && !id.is_empty()).map(|(_, id)| id).take(64)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn secret(text: &str) -> Arc<Secret> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Arc::new(Secret::read(file.path()).unwrap())
    }

    /// What a browser sends back.
    fn shown(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&format!("a=b; {pair}")).unwrap())])
    }

    #[test]
    fn a_session_ends_with_its_time_its_token_and_by_hand() {
        let (sessions, token, now) = (Sessions::default(), secret("0123456789abcdef"), Instant::now());
        let cookie = sessions.open(token.clone(), now).unwrap();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        let headers = shown(&cookie);
        assert!(sessions.has(&headers, &token, now));
        assert!(!sessions.has(&headers, &token, now + LASTS));
        assert!(!sessions.has(&headers, &secret("0123456789abcdef"), now), "another file was read since");
        for other in
            [shown("opgate_session="), shown("opgate_session=x"), shown("session=x"), HeaderMap::new()]
        {
            assert!(!sessions.has(&other, &token, now));
        }
        let forgotten = sessions.close(&headers);
        assert!(forgotten.starts_with("opgate_session=; ") && forgotten.contains("Max-Age=0"), "{forgotten}");
        assert!(!sessions.has(&headers, &token, now));
    }

    #[test]
    fn sessions_are_few_and_the_oldest_goes_first() {
        let (sessions, token, now) = (Sessions::default(), secret("0123456789abcdef"), Instant::now());
        let first = sessions.open(token.clone(), now).unwrap();
        let later = now + Duration::from_secs(1);
        let others: Vec<String> =
            (0..MOST_SESSIONS).map(|_| sessions.open(token.clone(), later).unwrap()).collect();
        assert!(!sessions.has(&shown(&first), &token, later));
        assert!(others.iter().all(|cookie| sessions.has(&shown(cookie), &token, later)));
        assert_eq!(sessions.open.lock().unwrap().len(), MOST_SESSIONS);
    }

    #[test]
    fn a_network_that_guesses_waits_and_holds_up_no_other() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let [one, other] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        for _ in 0..MOST_FAILURES {
            assert!(sessions.may_try(one, now));
            sessions.failed(one, now);
        }
        assert!(!sessions.may_try(one, now) && sessions.may_try(other, now));
        assert!(sessions.may_try(one, now + FAILURES_WITHIN));
        for number in 0..2 * MOST_NETWORKS {
            let [.., high, low] = number.to_be_bytes();
            sessions.failed(IpAddr::from([10, 0, high, low]), now);
        }
        assert!(sessions.failures.lock().unwrap().len() <= MOST_NETWORKS);
    }
}
