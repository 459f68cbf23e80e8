//! The forms of names: of fields, of RPCs, of hosts.

use crate::diagnostic::{Place, Report};
use crate::document::{Node, Value};

/// `name` of a service: a DNS name, or API Gateway's pattern of names.
pub(super) fn read(node: &Node, report: &mut Report) -> Option<String> {
    let name = node.string(report)?;
    if !is_service_name(name) {
        report
            .error(&node.span, format!("`{name}` is not a DNS name"))
            .help("write it in lower case, without scheme and port: `library.googleapis.com`");
        return None;
    }
    Some(name.to_owned())
}

/// The names of `apis` (google/protobuf/api.proto), and where each stands.
pub(super) fn of_apis(node: &Node) -> Vec<(String, Place)> {
    let Value::List(apis) = &node.value else { return Vec::new() };
    let entries = apis.iter().filter_map(|api| match &api.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    });
    let is_name = |key: &Node| matches!(&key.value, Value::String(key) if key == "name");
    let names =
        entries.flatten().filter(|(key, _)| is_name(key)).filter_map(|(_, value)| match &value.value {
            Value::String(name) => Some((name.clone(), value.span.place())),
            _ => None,
        });
    names.collect()
}

/// The names and aliases of `endpoints` (google/api/endpoint.proto) that a request's host can be.
pub(super) fn of_endpoints(node: &Node) -> Vec<String> {
    let text = |node: &Node| match &node.value {
        Value::String(text) if is_dns_name(text) => Some(text.clone()),
        _ => None,
    };
    let mut names: Vec<String> = Vec::new();
    let Value::List(endpoints) = &node.value else { return names };
    for endpoint in endpoints {
        let Value::Map(entries) = &endpoint.value else { continue };
        for (key, value) in entries {
            match (text(key).as_deref(), &value.value) {
                (Some("name"), _) => names.extend(text(value)),
                (Some("aliases"), Value::List(aliases)) => names.extend(aliases.iter().filter_map(text)),
                _ => {}
            }
        }
    }
    names
}

/// A DNS name, or one behind `*.`, which stands for any name below.
pub(in crate::catalog) fn is_service_name(text: &str) -> bool {
    is_dns_name(text.strip_prefix("*.").unwrap_or(text))
}

/// A letter or `_`, then letters, digits and `_`.
pub(in crate::catalog) fn is_identifier(text: &str) -> bool {
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
