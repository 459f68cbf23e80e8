//! Whether a URL is that of a request, as a proof's `htu` has to be.
//!
//! Both are normalized first (RFC 9449, section 4.3; RFC 3986, sections 6.2.2 and 6.2.3): case of scheme and host, the
//! default port, needless percent-encoding. Dot segments are not resolved: no request that gets here has any, and a URL
//! with some is refused.

use crate::percent::{Octet, octets};

/// Whether `url`, without its query and fragment, is that of a request to `path` of `authority`.
pub(super) fn is_target(url: &str, scheme: &str, authority: &str, path: &str) -> bool {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((named_scheme, rest)) = url.split_once("://") else { return false };
    let (named_authority, named_path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    named_scheme.eq_ignore_ascii_case(scheme)
        && plain_authority(named_authority, scheme) == plain_authority(authority, scheme)
        && plain_path(named_path).is_some_and(|named| Some(named) == plain_path(path))
}

/// Whether the port of `authority` is one that clients reach the gate at: the scheme's own, or one of `ports`.
pub(super) fn leads_here(authority: &str, scheme: &str, ports: [Option<u16>; 2]) -> bool {
    let plain = plain_authority(authority, scheme);
    let port = match plain.rsplit_once(':') {
        // An IPv6 address without a port ends with its bracket.
        Some((_, port)) if !port.ends_with(']') => port,
        _ => return true,
    };
    port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| ports.contains(&Some(port)))
}

fn plain_authority(authority: &str, scheme: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = authority.strip_suffix(default).or_else(|| authority.strip_suffix(':'));
    host.unwrap_or(&authority).to_owned()
}

/// Unreserved characters decoded and all other encoded bytes in capitals; `None` where a `%` encodes nothing.
fn plain_path(path: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    for octet in octets(path) {
        match octet.ok()? {
            Octet::Plain(octet) => plain.push(octet),
            Octet::Encoded(octet)
                if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') =>
            {
                plain.push(octet);
            }
            Octet::Encoded(octet) => plain.extend(format!("%{octet:02X}").into_bytes()),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_has_several_spellings() {
        for url in [
            "https://api.example.com/v1/a:cancel",
            "HTTPS://API.Example.COM/v1/a:cancel",
            "https://api.example.com:443/v1/a:cancel",
            "https://api.example.com:/v1/a:cancel",
            "https://api.example.com/v1/a:cancel?x=y",
            "https://api.example.com/v1/a:cancel#x?y",
            "https://api.example.com/%76%31/a:cancel",
        ] {
            for authority in ["api.example.com", "API.example.com:443"] {
                assert!(is_target(url, "https", authority, "/v1/a:cancel"), "{url} {authority}");
            }
        }
        assert!(is_target("https://h/%c3%a9%2f", "https", "h", "/%C3%A9%2F"));
        assert!(is_target("http://h:80", "http", "h", "/"));
        assert!(is_target("http://[::1]:8080/x", "http", "[::1]:8080", "/x"));
    }

    #[test]
    fn a_port_that_is_not_the_gates_leads_elsewhere() {
        let ports = [Some(8080), Some(8443)];
        for authority in ["h", "h:", "h:443", "h:8080", "h:8443", "[::1]", "[::1]:8080"] {
            assert!(leads_here(authority, "https", ports), "{authority}");
        }
        for authority in ["h:80", "h:8081", "h:+8080", "h:70000", "h:x", "[::1]:1", "h:8080:1"] {
            assert!(!leads_here(authority, "https", ports), "{authority}");
        }
        assert!(leads_here("h:80", "http", [None, None]) && !leads_here("h:443", "http", [None, None]));
    }

    #[test]
    fn another_target_is_another_target() {
        for url in [
            "",
            "/v1/a:cancel",
            "//api.example.com/v1/a:cancel",
            "api.example.com/v1/a:cancel",
            "http://api.example.com/v1/a:cancel",
            "https:/api.example.com/v1/a:cancel",
            "https://api.example.com",
            "https://api.example.com/",
            "https://api.example.com/v1/a",
            "https://api.example.com/v1/A:cancel",
            "https://api.example.com/v1/a%3Acancel",
            "https://api.example.com/v1/a:cancel/",
            "https://api.example.com//v1/a:cancel",
            "https://api.example.com/v1/./a:cancel",
            "https://api.example.com/v1/b/../a:cancel",
            "https://api.example.com/v1/%2e/a:cancel",
            "https://api.example.com/v1%2Fa:cancel",
            "https://api.example.com/v1/a:cancel%",
            "https://api.example.com/v1/a:cancel%2",
            "https://api.example.com:8443/v1/a:cancel",
            "https://api.example.com:80/v1/a:cancel",
            "https://api.example.com./v1/a:cancel",
            "https://ana@api.example.com/v1/a:cancel",
            "https://api.example.com@evil.example/v1/a:cancel",
            "https://api.example.com.evil.example/v1/a:cancel",
            "https://evil.example/https://api.example.com/v1/a:cancel",
            "https://api.example.com\\v1/a:cancel",
            " https://api.example.com/v1/a:cancel",
            "https://api.example.com /v1/a:cancel",
        ] {
            assert!(!is_target(url, "https", "api.example.com", "/v1/a:cancel"), "{url}");
        }
        assert!(!is_target("http://h:443/x", "http", "h", "/x"));
        assert!(!is_target("https://h/%C3%A9", "https", "h", "/\u{e9}"));
    }
}
