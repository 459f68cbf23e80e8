//! The forms of names: of fields, of RPCs, of hosts.

/// A letter or `_`, then letters, digits and `_`.
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `package.Service.Method`, at least the last two.
pub(super) fn is_rpc_name(text: &str) -> bool {
    text.contains('.') && text.split('.').all(is_identifier)
}

/// Lower-case labels of letters, digits and inner hyphens (RFC 1123, section 2.1).
pub(in crate::catalog) fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
