//! `protected_resource` of a service: the URL by which OAuth clients know it (RFC 9728, section 2).

use ::http::Uri;

use crate::diagnostic::Report;
use crate::document::Node;

/// Reads the URL: `https`, a host, and no path, so that the metadata is at the top of the host.
pub(super) fn protected_resource(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.string(report)?;
    if host_of(text).is_none() {
        report
            .error(&node.span, format!("`{}` is not the URL of a resource", text.escape_debug()))
            .help("write the scheme and host that clients call, without a path: `https://lab.example.com`");
        return None;
    }
    Some(text.to_owned())
}

/// The host of such a URL, in lower case.
pub(super) fn host_of(text: &str) -> Option<String> {
    let authority = text.strip_prefix("https://")?;
    let is_plain = !authority.contains(['/', '?', '#', '@', '"', '\\', '*']) && !authority.is_empty();
    let uri: Uri = text.parse().ok().filter(|_| is_plain)?;
    uri.host().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_https_and_a_host() {
        assert_eq!(host_of("https://Lab.example.com:8443").as_deref(), Some("lab.example.com"));
        for text in [
            "http://lab.example.com",
            "https://lab.example.com/",
            "https://lab.example.com/v1",
            "https://u@lab.example.com",
            "https://lab.example.com?x",
            "https://",
            "lab.example.com",
            "https://a\"b",
            "https://*.example.com",
        ] {
            assert_eq!(host_of(text), None, "{text}");
        }
    }
}
