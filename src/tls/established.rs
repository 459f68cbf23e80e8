//! A connection whose handshake is over, and what its requests may claim by it.
//!
//! A connection outlives the rules that it was made under: a reload may name another CA, none, another pool, other
//! scopes. So the facts of a client's certificate are kept, and each request applies the rules in force to them. It
//! gets what it would get if the handshake were done now. While the rules stay the same that costs a comparison; when
//! they change, the certificate is verified again, once for each connection.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};

use super::Certificate;
use super::server::{Clients, ServerTls, plain_name};
use crate::http::{Channel, ClientCertificate, NoCaller, ServerNames};
use crate::principal::Principal;

/// What a handshake has established, and the rules of the listener that it was done with.
pub struct Established {
    rules: Arc<ArcSwap<ServerTls>>,
    server_name: Option<Box<str>>,
    names: Arc<ServerNames>,
    client: Option<Shown>,
    judged: ArcSwap<Judged>,
}

/// A client's certificate, whose key the client has. The rules say what it is good for.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    thumbprint: String,
    uri: Result<String, NoCaller>,
    /// When it begins and ceases to hold.
    times: (SystemTime, SystemTime),
    /// When each certificate of the chain ends.
    ends: Vec<SystemTime>,
}

/// What certain rules make of the facts.
struct Judged {
    clients: Option<Arc<Clients>>,
    /// From when and until when that holds: the certificate and those above it have times of their own.
    times: (SystemTime, SystemTime),
    channel: Arc<Channel>,
}

impl Established {
    /// What the handshake of `connection` has established, which was done under `rules` or earlier ones: they are
    /// applied again for each request.
    pub fn new(
        rules: Arc<ArcSwap<ServerTls>>,
        shaken: &ServerTls,
        connection: &ServerConnection,
        now: SystemTime,
    ) -> Self {
        let server_name: Option<Box<str>> = connection.server_name().map(plain_name).map(Into::into);
        let names = shaken.names_for(server_name.as_deref());
        let client = connection.peer_certificates().and_then(Shown::of);
        let judged = judge(shaken.clients(), client.as_ref(), server_name.as_deref(), &names, now);
        Self { rules, judged: ArcSwap::from_pointee(judged), server_name, names, client }
    }

    /// What a request on it at `now` may claim, by the rules in force.
    pub fn channel(&self, now: SystemTime) -> Arc<Channel> {
        let rules = self.rules.load();
        let judged = self.judged.load();
        let in_time = judged.times.0 <= now && now <= judged.times.1;
        let in_force = rules.clients();
        match (&judged.clients, in_force) {
            (None, None) => return judged.channel.clone(),
            (Some(known), Some(clients)) if in_time && Arc::ptr_eq(known, clients) => {
                return judged.channel.clone();
            }
            _ => {}
        }
        let new = match (&judged.clients, in_force) {
            // Other files were loaded, with the same content.
            (Some(known), Some(clients)) if in_time && known.rule == clients.rule => Judged {
                clients: Some(clients.clone()),
                times: judged.times,
                channel: judged.channel.clone(),
            },
            _ => judge(in_force, self.client.as_ref(), self.server_name.as_deref(), &self.names, now),
        };
        let channel = new.channel.clone();
        self.judged.store(Arc::new(new));
        channel
    }
}

impl fmt::Debug for Established {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Established").field("channel", &self.judged.load().channel).finish()
    }
}

impl Shown {
    fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let der = chain.first()?;
        let certificate = Certificate::read(der);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        let above = chain.iter().skip(1).filter_map(|der| Some(Certificate::read(der)?.until));
        // A certificate that cannot be read names no caller, and holds at no time.
        let times = certificate
            .as_ref()
            .map_or((UNIX_EPOCH, UNIX_EPOCH), |certificate| (certificate.from, certificate.until));
        Some(Self {
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
            thumbprint: URL_SAFE_NO_PAD.encode(digest),
            uri: match &certificate {
                Some(certificate) => certificate.uri().map(str::to_owned),
                None => Err(NoCaller::Unreadable),
            },
            times,
            ends: std::iter::once(times.1).chain(above).collect(),
        })
    }

    /// What the rules make its holder.
    fn by(&self, clients: &Clients) -> ClientCertificate {
        let rule = &clients.rule;
        let uri = self.uri.as_deref().map_err(|why| *why);
        let principal = rule.pool.as_deref().zip(uri.ok()).map(|(pool, uri)| Principal::subject(pool, uri));
        ClientCertificate {
            thumbprint: self.thumbprint.clone(),
            caller: match (&rule.scopes, uri) {
                (None, _) => Err(NoCaller::ForTheAuditLine),
                (Some(_), Err(why)) => Err(why),
                // The configuration requires a pool wherever certificates make callers.
                (Some(_), Ok(_)) if principal.is_none() => Err(NoCaller::ForTheAuditLine),
                (Some(scopes), Ok(_)) => Ok(scopes.clone()),
            },
            uri: uri.ok().map(str::to_owned),
            principal,
            until: self.times.1,
        }
    }

    /// From when and until when what was verified at `now` holds.
    fn verified_at(&self, now: SystemTime) -> (SystemTime, SystemTime) {
        // A certificate that had ended before was not needed to get to an authority.
        let end = self.ends.iter().filter(|end| **end >= now).min();
        (self.times.0, end.copied().unwrap_or(self.times.1))
    }
}

/// What the rules make of the facts: what a handshake under them would.
fn judge(
    clients: Option<&Arc<Clients>>,
    shown: Option<&Shown>,
    server_name: Option<&str>,
    names: &Arc<ServerNames>,
    now: SystemTime,
) -> Judged {
    let always = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(u32::MAX.into()) * 4);
    let (client, refused, times) = match (clients, shown) {
        // The listener requires no certificate: none counts.
        (None, _) => (None, None, always),
        (Some(clients), None) if clients.rule.required => (None, Some(UNCERTIFIED), always),
        (Some(_), None) => (None, None, always),
        (Some(clients), Some(shown)) => {
            let client = shown.by(clients);
            match verify(clients, shown, now) {
                Ok(()) => (Some(client), None, shown.verified_at(now)),
                // Not verified again before the rules change, or the clock is set back.
                Err(why) => (Some(client), Some(why), (now, always.1)),
            }
        }
    };
    let channel =
        Channel { server_name: server_name.map(Into::into), names: names.clone(), shown: client, refused };
    Judged { clients: clients.cloned(), times, channel: Arc::new(channel) }
}

const UNCERTIFIED: &str = "the listener asks for a client's certificate by now, and the connection has none";
const ENDED: &str = "the client's certificate has expired since the connection was made";
const UNTRUSTED: &str = "the client's certificate does not hold by the rules in force";

fn verify(clients: &Clients, shown: &Shown, now: SystemTime) -> Result<(), &'static str> {
    if now > shown.times.1 {
        return Err(ENDED);
    }
    let (first, above) = shown.chain.split_first().ok_or(UNTRUSTED)?;
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).map_err(|_| UNTRUSTED)?);
    clients.verifier.verify_client_cert(first, above, now).map(drop).map_err(|_| UNTRUSTED)
}
