//! Values of one word: durations and sizes, which carry their unit, counts, addresses, and choices from a list.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Fields, Node, Value};
use crate::diagnostic::Report;

const DURATIONS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// `500ms`, `10s`, `5m`, `24h`, `7d`; more than zero.
pub(crate) fn duration(node: &Node, report: &mut Report) -> Option<Duration> {
    quantity(node, "a duration", DURATIONS, "10s", report).map(Duration::from_millis)
}

/// `512B`, `16KiB`, `1MiB`; more than zero.
pub(crate) fn size(node: &Node, report: &mut Report) -> Option<u64> {
    quantity(node, "a size", SIZES, "16KiB", report)
}

/// A whole number from 1 to `most`.
pub(crate) fn count(node: &Node, most: usize, report: &mut Report) -> Option<usize> {
    let value = node.integer(report)?;
    let value = usize::try_from(value).ok().filter(|value| (1..=most).contains(value));
    if value.is_none() {
        report
            .error(&node.span, format!("expected a number from 1 to {most}"))
            .help("leave it out for the default");
    }
    value
}

/// [`duration`] outside of files, for the command line.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, DURATIONS).map(Duration::from_millis)
}

/// An IP address and a port to listen on.
pub(crate) fn socket_address(node: &Node, report: &mut Report) -> Option<SocketAddr> {
    let text = node.string(report)?;
    let address = text.parse().ok();
    if address.is_none() {
        report
            .error(&node.span, format!("`{text}` is not an address to listen on"))
            .help("write IP and port, like `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`");
    }
    address
}

/// One of a list of words, each with what it stands for.
pub(crate) fn choice<T: Copy>(node: &Node, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
    let text = node.string(report)?;
    let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if chosen.is_none() {
        let names = choices.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
        report.error(&node.span, format!("`{text}` is not known here")).help(format!("write {names}"));
    }
    chosen
}

/// Reads a field that has a default.
pub(crate) fn set<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    target: &mut T,
    read: impl Fn(&Node, &mut Report) -> Option<T>,
    report: &mut Report,
) {
    if let Some(value) = fields.optional(name).and_then(|node| read(node, report)) {
        *target = value;
    }
}

fn quantity(
    node: &Node,
    what: &str,
    units: &[(&str, u64)],
    example: &str,
    report: &mut Report,
) -> Option<u64> {
    let text = match &node.value {
        Value::String(text) => text.as_str(),
        _ => "",
    };
    let value = parse(text, units);
    if value.is_none() {
        let names = units.iter().map(|(unit, _)| format!("`{unit}`")).collect::<Vec<_>>().join(", ");
        report
            .error(&node.span, format!("expected {what} with its unit, like `{example}`"))
            .help(format!("a whole number above zero and one of {names}"));
    }
    value
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor).filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(parse_duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(parse_duration("1h"), Some(Duration::from_secs(3600)));
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "0s",
            "10 s",
            "10S",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!(parse("16KiB", SIZES), Some(16 * 1024));
        assert_eq!(parse("16K", SIZES), None);
        assert_eq!(parse("16KB", SIZES), None);
    }
}
