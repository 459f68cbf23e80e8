//! SPIFFE IDs (<https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/>), which JWT-SVIDs have in `sub`.

/// The trust domain of a SPIFFE ID of a workload; `None` where a text is not one. The rules are those of section 2: a domain
/// of lower-case letters, digits and `.-_`, and a path of segments that are not empty, `.` or `..`.
pub(in crate::authn) fn trust_domain(id: &str) -> Option<&str> {
    let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    let segment = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
    };
    (is_trust_domain(domain) && path.split('/').all(segment)).then_some(domain)
}

/// Whether a text is the name of a trust domain.
pub(in crate::authn) fn is_trust_domain(domain: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    !domain.is_empty() && domain.len() <= 255 && domain.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_has_one_spelling() {
        for id in ["spiffe://td.example/a", "spiffe://td.example/ns/a/sa/b", "spiffe://td.example/A-b_c.d"] {
            assert_eq!(trust_domain(id), Some("td.example"), "{id}");
        }
        for id in [
            "",
            "td.example/a",
            "spiffe://td.example",
            "spiffe://td.example/",
            "spiffe:///a",
            "spiffe://TD.example/a",
            "SPIFFE://td.example/a",
            "spiffe://td.example/a/",
            "spiffe://td.example//a",
            "spiffe://td.example/../a",
            "spiffe://td.example/a/./b",
            "spiffe://td.example/a%20b",
            "spiffe://td.example/a?b",
            "spiffe://td.example:443/a",
            "spiffe://user@td.example/a",
            "spiffe://td.example/a b",
            "spiffe://td.example/ü",
        ] {
            assert_eq!(trust_domain(id), None, "{id}");
        }
    }
}
