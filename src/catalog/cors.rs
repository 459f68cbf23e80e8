//! Which web pages may call a service, and what their browsers are told (Fetch, "CORS protocol").
//!
//! A browser sends a page's requests, and lets the page read an answer only where the answer's fields name the page's
//! origin. Nothing here allows a call: each call has its credential and its decision, whatever page it is of.

use std::time::Duration;

use ::http::{HeaderName, HeaderValue, Method, header};

use crate::http::{HeaderNames, Preflight};

/// The pages that may call a service, and what they may send and read: `cors` of the operator's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsPolicy {
    /// The origins whose pages may.
    pub origins: Vec<OriginPattern>,
    /// The methods that they may call; `None` for all that are routed.
    pub methods: Option<Vec<Method>>,
    /// The fields that they may send, beside those that every page may.
    pub headers: HeaderNames,
    /// `Access-Control-Expose-Headers`: the fields that they may read, beside those that every page may.
    pub exposed: HeaderValue,
    /// Whether browsers send cookies and client certificates with the calls of such pages.
    pub credentials: bool,
    /// How long a browser keeps the answer to a preflight.
    pub max_age: Duration,
}

/// Origins, as `cors.origins` names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: any.
    Any,
    /// This one.
    Exact(Box<str>),
    /// `https://*.example.com:8443`: every subdomain, with this scheme and port.
    Subdomains {
        /// The scheme with its slashes: `https://`.
        scheme: Box<str>,
        /// The rest, from the dot on: `.example.com:8443`.
        suffix: Box<str>,
    },
}

impl OriginPattern {
    fn covers(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => **text == *origin,
            Self::Subdomains { scheme, suffix } => {
                let labels = origin.strip_prefix(&**scheme).and_then(|rest| rest.strip_suffix(&**suffix));
                let is_label = |label: &str| {
                    !label.is_empty()
                        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                };
                labels.is_some_and(|labels| labels.split('.').all(is_label))
            }
        }
    }
}

/// The fields that a page may always send (Fetch, "CORS-safelisted request-header"). A preflight asks for one of them where
/// its value is unusual.
const ALWAYS_SENT: [&str; 4] = ["accept", "accept-language", "content-language", "range"];

impl CorsPolicy {
    /// Whether the pages of an origin may call the service.
    pub fn covers(&self, origin: &str) -> bool {
        self.origins.iter().any(|pattern| pattern.covers(origin))
    }

    /// The fields with which an answer can be read by a page of `origin`; none where the origin is not listed.
    pub fn answer(&self, origin: &str) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = self.allow(origin);
        if !fields.is_empty() {
            fields.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone()));
        }
        fields
    }

    /// The fields that answer a preflight.
    ///
    /// # Errors
    /// Where the page may not send the request: why not, in words for its author.
    pub fn preflight(&self, preflight: &Preflight<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let Preflight { origin, method, headers } = preflight;
        let mut fields = self.allow(origin);
        if fields.is_empty() {
            let origin = origin.escape_debug();
            return Err(format!(
                "pages of `{origin}` may not call this service: `cors.origins` does not list it"
            ));
        }
        if self.methods.as_ref().is_some_and(|methods| !methods.contains(method)) {
            return Err(format!("pages may not call {method} here: `cors.methods` does not list it"));
        }
        let may_send = |name: &String| {
            ALWAYS_SENT.contains(&name.as_str())
                || self.headers.contains(name) && HeaderName::from_bytes(name.as_bytes()).is_ok()
        };
        if let Some(name) = headers.iter().find(|name| !may_send(name)) {
            let name = name.escape_debug();
            return Err(format!("pages may not send the header `{name}`: `cors.headers` does not list it"));
        }
        let mut add = |name: HeaderName, value: String| {
            fields.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
        };
        add(header::ACCESS_CONTROL_ALLOW_METHODS, method.to_string());
        if !headers.is_empty() {
            add(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.join(", "));
        }
        add(header::ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().to_string());
        Ok(fields)
    }

    fn allow(&self, origin: &str) -> Vec<(HeaderName, HeaderValue)> {
        let (true, Ok(echoed)) = (self.covers(origin), HeaderValue::from_str(origin)) else {
            return Vec::new();
        };
        let any = self.origins.contains(&OriginPattern::Any);
        let value = if any { HeaderValue::from_static("*") } else { echoed };
        let mut fields = vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, value)];
        if self.credentials {
            fields.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: Vec<OriginPattern>) -> CorsPolicy {
        CorsPolicy {
            origins,
            methods: None,
            headers: HeaderNames::new(["authorization", "x-goog-*"]),
            exposed: HeaderValue::from_static("www-authenticate"),
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }

    fn preflight<'p>(origin: &'p str, headers: &[&str]) -> Preflight<'p> {
        let headers = headers.iter().map(|name| (*name).to_owned()).collect();
        Preflight { origin, method: Method::POST, headers }
    }

    fn shown(fields: &[(HeaderName, HeaderValue)]) -> Vec<String> {
        fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_subdomain_pattern_covers_subdomains_with_its_scheme_and_port_alone() {
        let pattern =
            OriginPattern::Subdomains { scheme: "https://".into(), suffix: ".example.com:8443".into() };
        for origin in ["https://a.example.com:8443", "https://a-1.b_2.example.com:8443"] {
            assert!(pattern.covers(origin), "{origin}");
        }
        for origin in [
            "https://example.com:8443",
            "https://.example.com:8443",
            "https://a..example.com:8443",
            "http://a.example.com:8443",
            "https://a.example.com",
            "https://a.example.com:84430",
            "https://evil.test/.example.com:8443",
            "https://evil.test:1.example.com:8443",
            "https://evil.test#.example.com:8443",
            "https://evil@a.example.com:8443",
            "https://evilexample.com:8443",
            "null",
        ] {
            assert!(!pattern.covers(origin), "{origin}");
        }
    }

    #[test]
    fn a_listed_origin_is_echoed_and_any_other_gets_nothing() {
        let policy = policy(vec![OriginPattern::Exact("https://app.example.com".into())]);
        assert_eq!(
            shown(&policy.answer("https://app.example.com")),
            [
                "access-control-allow-origin: https://app.example.com",
                "access-control-expose-headers: www-authenticate"
            ]
        );
        for origin in
            ["https://app.example.com:443", "HTTPS://app.example.com", "https://app.example.co", "null", ""]
        {
            assert_eq!(policy.answer(origin), [], "{origin}");
        }
    }

    #[test]
    fn any_origin_is_answered_without_naming_it() {
        let policy = policy(vec![OriginPattern::Any]);
        assert_eq!(shown(&policy.answer("null"))[0], "access-control-allow-origin: *");
    }

    #[test]
    fn a_preflight_is_answered_with_what_it_asks_for() {
        let mut policy = policy(vec![OriginPattern::Exact("https://app.example.com".into())]);
        policy.credentials = true;
        let asked = preflight("https://app.example.com", &["authorization", "x-goog-user-project", "accept"]);
        assert_eq!(
            shown(&policy.preflight(&asked).unwrap()),
            [
                "access-control-allow-origin: https://app.example.com",
                "access-control-allow-credentials: true",
                "access-control-allow-methods: POST",
                "access-control-allow-headers: authorization, x-goog-user-project, accept",
                "access-control-max-age: 600",
            ]
        );
    }

    #[test]
    fn a_refused_preflight_says_what_is_not_listed() {
        let mut policy = policy(vec![OriginPattern::Exact("https://app.example.com".into())]);
        let refused = |policy: &CorsPolicy, origin, headers: &[&str]| {
            policy.preflight(&preflight(origin, headers)).unwrap_err()
        };
        assert!(refused(&policy, "https://evil.test", &[]).contains("`cors.origins`"));
        assert!(refused(&policy, "https://app.example.com", &["x-other"]).contains("`x-other`"));
        assert!(refused(&policy, "https://app.example.com", &["x-goog-a b"]).contains("`x-goog-a b`"));
        policy.methods = Some(vec![Method::GET]);
        assert!(refused(&policy, "https://app.example.com", &[]).contains("`cors.methods`"));
    }
}
