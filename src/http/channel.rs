//! The TLS facts of the connection that a request came over, and which hosts it may address there.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Host, Request};
use crate::principal::Principal;
use crate::reason::{Denial, Reason};

/// The DNS names of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames(Vec<String>);

impl ServerNames {
    /// Names as a certificate has them. What is not a name, or a wildcard elsewhere than in its whole first label, covers
    /// nothing.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let is_plain = |name: &str| {
            let rest = name.strip_prefix("*.").unwrap_or(name);
            !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        };
        Self(names.into_iter().filter(|name| is_plain(name)).map(str::to_ascii_lowercase).collect())
    }

    /// The first of them.
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Whether it is a certificate for no name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the certificate is one for `host`, in lower case (RFC 6125, section 6.4: a wildcard stands for one label).
    pub fn cover(&self, host: &str) -> bool {
        let parent = host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent);
        self.0.iter().any(|name| name == host || (parent.is_some() && name.strip_prefix("*.") == parent))
    }
}

/// A TLS connection to a client.
#[derive(Clone, Debug)]
pub struct Channel {
    /// The host that the client asked TLS for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The names of the certificate that the client was shown.
    pub names: Arc<ServerNames>,
    /// The client's own certificate; [`Channel::client`] says whether the rules in force accept it.
    pub shown: Option<ClientCertificate>,
    /// Why the rules in force would refuse such a connection: they may be others than it was made under.
    pub refused: Option<&'static str>,
}

/// A client's certificate, which comes from a CA that the listener trusts, and whose key the client has.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// SHA-256 over it, in base64url: `x5t#S256` of RFC 8705.
    pub thumbprint: String,
    /// The one URI that it names its holder by.
    pub uri: Option<String>,
    /// The holder as a subject of the listener's pool.
    pub principal: Option<Principal>,
    /// What a holder who sends no other credential may do, or why the certificate makes no caller.
    pub caller: Result<Arc<[String]>, NoCaller>,
    /// When it ends.
    pub until: SystemTime,
}

/// Why a certificate that holds makes no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCaller {
    /// The listener does not accept certificates as credentials.
    #[error("the listener takes client certificates for the audit line alone (`client_identity: audit`)")]
    ForTheAuditLine,
    /// It does not name a holder.
    #[error("it has no URI among its subject alternative names")]
    WithoutUri,
    /// The holder is not clear (SPIFFE X.509-SVID, section 2).
    #[error("it has more than one URI among its subject alternative names")]
    SeveralUris,
    /// It could be read as another one.
    #[error("its URI is empty, or not plain ASCII")]
    OddUri,
    /// It is not a certificate that names can be read from.
    #[error("its names cannot be read")]
    Unreadable,
}

impl Channel {
    /// Whether a request for `host` may come this way. A client may use one connection for all names of the certificate
    /// that it was shown (RFC 9113, section 9.1.1); for one that asked for no name, every host is allowed.
    fn leads_to(&self, host: &Host) -> bool {
        self.server_name.as_deref().is_none_or(|name| name == host.as_str())
            || self.names.cover(host.as_str())
    }

    /// The client's certificate, if the rules in force accept it.
    pub fn client(&self) -> Option<&ClientCertificate> {
        self.shown.as_ref().filter(|_| self.refused.is_none())
    }
}

impl Request {
    /// Checks that the request addresses a host of its connection, and that the rules in force allow the connection.
    ///
    /// # Errors
    /// 421 (RFC 9110, section 15.5.20): a proxy that looked at the connection's TLS saw another host, or would have
    /// refused the connection. The client may come again over another one.
    pub fn directed(&self) -> Result<(), Denial> {
        match self.channel.as_deref() {
            Some(Channel { refused: Some(why), .. }) => Err(Denial::new(Reason::Misdirected, *why)),
            Some(channel) if !channel.leads_to(&self.host) => {
                let name = channel.server_name.as_deref().unwrap_or_default();
                Err(Denial::new(
                    Reason::Misdirected,
                    format!(
                        "the connection is to `{name}`, whose certificate does not cover `{}`",
                        self.host.as_str()
                    ),
                ))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let names = ServerNames::new(["API.example.com", "*.apps.example.com"]);
        for host in ["api.example.com", "a.apps.example.com"] {
            assert!(names.cover(host), "{host}");
        }
        for host in
            ["example.com", "apps.example.com", "a.b.apps.example.com", ".apps.example.com", "com", "", "*"]
        {
            assert!(!names.cover(host), "{host}");
        }
    }

    #[test]
    fn a_malformed_name_covers_nothing() {
        let names = ServerNames::new([
            "*",
            "*.",
            "",
            "a.example.com\0.evil.test",
            "a*.example.com",
            "*.*.test",
            "é.test",
        ]);
        assert_eq!(names, ServerNames::default());
    }
}
