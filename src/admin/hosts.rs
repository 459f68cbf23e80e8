//! The names under which the admin port answers.
//!
//! A web page can make its own name lead to this address a moment after it was loaded (DNS rebinding): the browser then
//! takes the gate's answers for the page's own, and lets it read them. But the page cannot change the name in `Host`.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header};

use super::refused::AdminRefusal;
use crate::http::Host;
use crate::listener::Complaint;

/// The names of the configuration. Addresses and `localhost` are always good: no page can be loaded from a name that is
/// one of these.
#[derive(Debug)]
pub(super) struct Hosts {
    names: Vec<String>,
    refusals: Complaint,
}

impl Hosts {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { names, refusals: Complaint::default() }
    }

    /// Judges the `Host` of a request, and warns the operator of a wrong one.
    ///
    /// # Errors
    /// 400 where there is none, or not one; 421 where it is another's (RFC 9110, sections 7.2 and 7.4).
    pub(super) fn judge(&self, uri: &Uri, version: Version, headers: &HeaderMap) -> Result<(), AdminRefusal> {
        let mut fields = headers.get_all(header::HOST).iter();
        let named = match (fields.next(), fields.next()) {
            // Every browser sends a `Host`. A probe that speaks HTTP/1.0 may not.
            (None, _) if version < Version::HTTP_11 => return Ok(()),
            (Some(field), None) => field.clone(),
            _ => return Err(AdminRefusal::new("there is not one `Host`", "send one, as HTTP/1.1 asks for")),
        };
        // A target in absolute form stands before the field (RFC 9112, section 3.2.2): both have to be good.
        let target = uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
        let all = target.into_iter().flatten().chain([named]);
        for named in all {
            if !self.knows(&named) {
                return Err(self.refuse(&named));
            }
        }
        Ok(())
    }

    fn knows(&self, named: &HeaderValue) -> bool {
        let Ok(host) = Host::parse(named) else { return false };
        let host = host.as_str();
        is_address(host) || host == "localhost" || self.names.iter().any(|name| name == "*" || name == host)
    }

    fn refuse(&self, named: &HeaderValue) -> AdminRefusal {
        if self.refusals.is_due() {
            tracing::warn!(
                host = ?named,
                "the admin port was asked by an unknown name: if it is yours, add it to `admin.hosts`"
            );
        }
        AdminRefusal::new(
            "the admin port does not have this name",
            "ask by its IP address or `localhost`, or add the name to `admin.hosts` of the configuration",
        )
        .with(StatusCode::MISDIRECTED_REQUEST)
    }
}

fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(hosts: &Hosts, version: Version, target: &str, fields: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::HOST, HeaderValue::from_str(field).unwrap());
        }
        hosts.judge(&target.parse().unwrap(), version, &headers).is_ok()
    }

    #[test]
    fn addresses_localhost_and_the_names_of_the_configuration_are_good() {
        let hosts = Hosts::new(vec!["opgate.monitoring.svc".to_owned()]);
        for (good, field) in [
            (true, "127.0.0.1:9901"),
            (true, "10.1.2.3"),
            (true, "[::1]:9901"),
            (true, "[fd00::1]"),
            (true, "localhost:9901"),
            (true, "LOCALHOST"),
            (true, "opgate.monitoring.svc:9901"),
            (true, "Opgate.Monitoring.SVC"),
            (false, "monitoring.svc"),
            (false, "evil.example:9901"),
            (false, "127.0.0.1.evil.example"),
            (false, "localhost.evil.example"),
            (false, "evil.localhost"),
            (false, "127.1"),
            (false, "[::1].evil.example"),
            (false, "user@127.0.0.1"),
            (false, "127.0.0.1, evil.example"),
            (false, ""),
        ] {
            assert_eq!(judge(&hosts, Version::HTTP_11, "/metrics", &[field]), good, "{field:?}");
        }
        let any = Hosts::new(vec!["*".to_owned()]);
        assert!(judge(&any, Version::HTTP_11, "/metrics", &["evil.example"]));
    }

    #[test]
    fn one_name_is_asked_by_and_a_target_does_not_hide_it() {
        let hosts = Hosts::new(Vec::new());
        assert!(judge(&hosts, Version::HTTP_10, "/", &[]));
        assert!(!judge(&hosts, Version::HTTP_10, "/", &["evil.example"]));
        assert!(!judge(&hosts, Version::HTTP_11, "/", &[]));
        assert!(!judge(&hosts, Version::HTTP_11, "/", &["localhost", "localhost"]));
        assert!(judge(&hosts, Version::HTTP_11, "http://localhost/", &["localhost"]));
        assert!(!judge(&hosts, Version::HTTP_11, "http://evil.example/", &["localhost"]));
        assert!(!judge(&hosts, Version::HTTP_11, "http://localhost/", &["evil.example"]));
    }
}
