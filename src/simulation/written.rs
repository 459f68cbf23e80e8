//! The parts of a scenario as people and programs write them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::ScenarioCall;
use crate::document::nearest;
use crate::policy;
use crate::principal::{NotAPrincipal, Principal};

/// A part that cannot be read, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct ScenarioSyntaxError {
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub help: String,
}

impl ScenarioSyntaxError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// Methods that requests are made with.
pub const HTTP_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// An HTTP method.
///
/// # Errors
/// A word that is not one.
pub fn http_method(text: &str) -> Result<::http::Method, ScenarioSyntaxError> {
    let known = HTTP_METHODS.contains(&text).then(|| text.parse().ok()).flatten();
    known.ok_or_else(|| {
        let help = match nearest(&text.to_ascii_uppercase(), HTTP_METHODS.into_iter()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("choose from {}", HTTP_METHODS.join(", ")),
        };
        ScenarioSyntaxError::new(format!("`{text}` is not an HTTP method"), help)
    })
}

/// The host of a URL, in lower case, and the path with its query; a path has no host.
pub fn split_url(target: &str) -> (Option<String>, &str) {
    match target.strip_prefix("https://").or_else(|| target.strip_prefix("http://")) {
        None => (None, target),
        Some(url) => {
            let (host, path) = url.split_at(url.find(['/', '?']).unwrap_or(url.len()));
            (Some(host.to_ascii_lowercase()), if path.is_empty() { "/" } else { path })
        }
    }
}

/// A request: method, then a path or a URL, and the host where that is a path.
///
/// # Errors
/// A text that is not a method, and a host that is named twice.
pub fn request(method: &str, target: &str, host: Option<&str>) -> Result<ScenarioCall, ScenarioSyntaxError> {
    let http_method = http_method(method)?;
    let (host_in_url, target) = split_url(target);
    if host.is_some() && host_in_url.is_some() {
        return Err(ScenarioSyntaxError::new(
            "the host is named twice",
            "name it in the URL, or by itself with a path",
        ));
    }
    let host = host.map(str::to_ascii_lowercase).or(host_in_url);
    Ok(ScenarioCall::Request { http_method, target: target.to_owned(), host })
}

/// A principal that a caller can be.
///
/// # Errors
/// A name that authentication never gives a caller.
pub fn principal(text: &str) -> Result<Principal, ScenarioSyntaxError> {
    Principal::parse(text).map_err(|error| {
        let help = match error {
            NotAPrincipal::UnknownKind if text.contains('@') && !text.contains(':') => {
                format!("write `user:{text}`")
            }
            _ => {
                "write `user:EMAIL`, `serviceAccount:EMAIL` or `principal://POOL/subject/SUBJECT`".to_owned()
            }
        };
        ScenarioSyntaxError::new(format!("`{text}` is not a caller: {error}"), help)
    })
}

/// A group, by its email or as `group:EMAIL`, or a `principalSet://`.
///
/// # Errors
/// Anything else.
pub fn set(text: &str) -> Result<Arc<str>, ScenarioSyntaxError> {
    if text.strip_prefix("principalSet://").is_some_and(|rest| !rest.is_empty()) {
        return Ok(policy::canonical_identifier(text).into());
    }
    match Principal::group(text.strip_prefix("group:").unwrap_or(text)) {
        Ok(group) => Ok(group.as_str().into()),
        Err(error) => Err(ScenarioSyntaxError::new(
            format!("`{text}` is not a group: {error}"),
            "write its email, or a whole `principalSet://…`",
        )),
    }
}

/// The address that a call comes from.
///
/// # Errors
/// Anything else.
pub fn address(text: &str) -> Result<IpAddr, ScenarioSyntaxError> {
    text.parse().map_err(|_| {
        ScenarioSyntaxError::new(
            format!("`{text}` is not an IP address"),
            "write one address, without a port or a prefix length: `192.0.2.7`",
        )
    })
}

/// A time of RFC 3339.
///
/// # Errors
/// Anything else.
pub fn time(text: &str) -> Result<SystemTime, ScenarioSyntaxError> {
    text.parse::<jiff::Timestamp>().map(SystemTime::from).map_err(|error| {
        ScenarioSyntaxError::new(
            format!("`{text}` is not a time: {error}"),
            "write it as RFC 3339 does: `2026-03-01T12:00:00Z`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_host() {
        assert_eq!(split_url("/v1/x"), (None, "/v1/x"));
        assert_eq!(
            split_url("https://API.example:8443/v1/x?y"),
            (Some("api.example:8443".to_owned()), "/v1/x?y")
        );
        assert_eq!(split_url("http://a"), (Some("a".to_owned()), "/"));
        // Not a path: the gate refuses it.
        assert_eq!(split_url("https://a?x"), (Some("a".to_owned()), "?x"));
    }

    #[test]
    fn sets_are_groups_in_either_spelling_and_principal_sets() {
        for text in ["Ops@Example.com", "group:ops@example.com"] {
            assert_eq!(&*set(text).unwrap(), "group:ops@example.com");
        }
        assert_eq!(&*set("principalSet://x/group/y").unwrap(), "principalSet://x/group/y");
        for text in ["ops", "", "user:ops@example.com", "principalSet://"] {
            assert!(set(text).is_err(), "{text}");
        }
    }
}
