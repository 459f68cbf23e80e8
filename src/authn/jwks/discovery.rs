//! An issuer's metadata, which says where its keys are (OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3).
//!
//! The address of the metadata follows from the configured `iss`, and the metadata must name that `iss`, to the byte:
//! metadata of another issuer is never used. The keys must lie with the issuer itself, or on a host that the operator
//! named: a writer of the metadata cannot send the gate to any address of the network that it is in.

use reqwest::Url;
use serde_json::Value;

use crate::authn::denial::shown;
use crate::authn::settings::{ONE_TENANT, WellKnown, origin, parse_url, with_port};
use crate::json;

/// The issuer, and where its keys may be.
#[derive(Clone, Debug)]
pub(in crate::authn) struct Discovery {
    /// `iss`, to the byte.
    issuer: String,
    /// The same, as an address.
    base: Url,
    /// Where the metadata is.
    document: Url,
    /// `HOST:PORT` of the hosts that `jwks_uri` may lead to beside the issuer's own.
    hosts: Vec<String>,
}

/// Why an issuer's metadata leads to no keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::authn) enum DiscoveryError {
    #[error("the issuer's metadata is not a JSON object: {0}")]
    Syntax(String),
    #[error("the issuer's metadata has no `{0}`")]
    Missing(&'static str),
    #[error("the metadata is of the issuer `{0}`, which is not the configured one")]
    OtherIssuer(String),
    #[error(
        "the metadata is of `{0}`, which is a template: the address is that of all tenants. {help}",
        help = ONE_TENANT
    )]
    Template(String),
    #[error("`jwks_uri` cannot be used: {0}")]
    Unusable(String),
    #[error("`jwks_uri` leads to {0}, which is neither the issuer's own origin nor one of `jwks_hosts`")]
    Elsewhere(String),
}

impl Discovery {
    /// Discovery for `issuer`, which `base` is the address of.
    pub(in crate::authn) fn new(issuer: &str, base: Url, document: WellKnown, hosts: &[String]) -> Self {
        let document = well_known(&base, document);
        let hosts = hosts.iter().map(|host| with_port(host)).collect();
        Self { issuer: issuer.to_owned(), base, document, hosts }
    }

    /// Where the metadata is.
    pub(in crate::authn) fn document(&self) -> &Url {
        &self.document
    }

    /// Where the keys are, by the metadata.
    ///
    /// # Errors
    /// Where the metadata is not this issuer's, or leads where it may not.
    pub(in crate::authn) fn keys(&self, metadata: &[u8]) -> Result<Url, DiscoveryError> {
        let metadata = json::parse_object(metadata)
            .map_err(|error| DiscoveryError::Syntax(shown(&error.to_string())))?;
        let text = |member| match metadata.get(member) {
            Some(Value::String(text)) => Ok(text.as_str()),
            _ => Err(DiscoveryError::Missing(member)),
        };
        let issuer = text("issuer")?;
        if issuer != self.issuer && issuer.contains(['{', '}']) {
            return Err(DiscoveryError::Template(shown(issuer)));
        }
        if issuer != self.issuer {
            return Err(DiscoveryError::OtherIssuer(shown(issuer)));
        }
        let keys =
            parse_url(text("jwks_uri")?).map_err(|(message, _)| DiscoveryError::Unusable(shown(&message)))?;
        let named = self.hosts.iter().any(|host| origin(&keys) == format!("{}://{host}", self.base.scheme()));
        if named || origin(&keys) == origin(&self.base) {
            Ok(keys)
        } else {
            Err(DiscoveryError::Elsewhere(shown(&origin(&keys))))
        }
    }
}

/// The path of OpenID Connect comes after the issuer's own, that of RFC 8414 before it.
fn well_known(base: &Url, document: WellKnown) -> Url {
    let own = base.path().trim_end_matches('/');
    let path = match document {
        WellKnown::OpenId => format!("{own}/.well-known/openid-configuration"),
        WellKnown::OAuth => format!("/.well-known/oauth-authorization-server{own}"),
    };
    let mut url = base.clone();
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://login.example.com/tenant";

    fn discovery(issuer: &str, hosts: &[&str]) -> Discovery {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        Discovery::new(issuer, issuer.parse().unwrap(), WellKnown::OpenId, &hosts)
    }

    fn keys(discovery: &Discovery, issuer: &str, jwks_uri: &str) -> Result<String, DiscoveryError> {
        let metadata = json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string();
        discovery.keys(metadata.as_bytes()).map(String::from)
    }

    #[test]
    fn the_metadata_is_where_the_standards_say() {
        for (issuer, openid, oauth) in [
            (
                "https://login.example.com",
                "https://login.example.com/.well-known/openid-configuration",
                "https://login.example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://login.example.com/",
                "https://login.example.com/.well-known/openid-configuration",
                "https://login.example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://login.example.com:8443/a/b",
                "https://login.example.com:8443/a/b/.well-known/openid-configuration",
                "https://login.example.com:8443/.well-known/oauth-authorization-server/a/b",
            ),
        ] {
            let base: Url = issuer.parse().unwrap();
            assert_eq!(well_known(&base, WellKnown::OpenId).as_str(), openid);
            assert_eq!(well_known(&base, WellKnown::OAuth).as_str(), oauth);
        }
    }

    #[test]
    fn the_issuer_must_match_to_the_byte() {
        let discovery = discovery(ISSUER, &[]);
        let uri = "https://login.example.com/keys";
        assert_eq!(keys(&discovery, ISSUER, uri).unwrap(), uri);
        for other in [
            "https://login.example.com/tenant/",
            "https://login.example.com/Tenant",
            "https://LOGIN.example.com/tenant",
            "https://login.example.com:443/tenant",
            "https://login.example.com",
            "https://login.evil.example/tenant",
            "",
        ] {
            let refused = keys(&discovery, other, uri).unwrap_err();
            assert!(matches!(refused, DiscoveryError::OtherIssuer(_)), "{other}: {refused}");
        }
    }

    /// Entra's endpoint for the tenants of all customers.
    #[test]
    fn metadata_of_all_tenants_is_refused_with_what_to_do() {
        let common = discovery("https://login.microsoftonline.com/common/v2.0", &[]);
        let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
        let refused = keys(&common, template, "https://login.microsoftonline.com/common/keys").unwrap_err();
        let told = refused.to_string();
        assert!(
            told.contains("{tenantid}") && told.contains("name each tenant as an issuer of its own"),
            "{told}"
        );
    }

    #[test]
    fn keys_lie_with_the_issuer_or_where_the_operator_said() {
        let own = discovery(ISSUER, &[]);
        let named = discovery(ISSUER, &["keys.example.net", "other.example.net:8443"]);
        for (uri, alone, listed) in [
            ("https://login.example.com/keys", true, true),
            ("https://login.example.com:443/keys", true, true),
            ("https://login.example.com:444/keys", false, false),
            ("https://keys.example.net/v3/certs", false, true),
            ("https://keys.example.net:8443/v3/certs", false, false),
            ("https://other.example.net:8443/", false, true),
            ("https://other.example.net/", false, false),
            ("https://login.example.com.evil.example/", false, false),
            // The keys of an issuer behind TLS must not be fetched in the clear, even from this machine.
            ("http://127.0.0.1:8080/keys", false, false),
            ("http://login.example.com/keys", false, false),
            ("https://login.example.com@evil.example/", false, false),
            ("https://169.254.169.254/", false, false),
            ("file:///etc/passwd", false, false),
            ("/keys", false, false),
        ] {
            assert_eq!(keys(&own, ISSUER, uri).is_ok(), alone, "{uri}");
            assert_eq!(keys(&named, ISSUER, uri).is_ok(), listed, "{uri}");
        }
    }

    #[test]
    fn metadata_that_says_nothing_or_two_things_is_refused() {
        let discovery = discovery(ISSUER, &[]);
        for metadata in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"issuer": "https://login.example.com/tenant"}"#,
            r#"{"issuer": 1, "jwks_uri": "https://login.example.com/keys"}"#,
            r#"{"issuer": "https://login.example.com/tenant", "jwks_uri": ["https://login.example.com/keys"]}"#,
            r#"{"issuer": "https://login.example.com/tenant", "issuer": "https://login.example.com/tenant",
                "jwks_uri": "https://login.example.com/keys"}"#,
        ] {
            assert!(discovery.keys(metadata.as_bytes()).is_err(), "{metadata}");
        }
    }
}
