//! `tracestate`: what each tracing system keeps in a trace.

/// Most members of a list (section 3.3.1.1).
const MOST_MEMBERS: usize = 32;

/// Whether the values of all `tracestate` fields of a request are one well-formed list (section 3.3.1). A list that is not
/// ends at the gate, as a whole.
pub fn is_state<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> bool {
    let mut keys: Vec<&[u8]> = Vec::new();
    for member in values.into_iter().flat_map(|value| value.split(|byte| *byte == b',')) {
        // Blanks around a member are allowed, and so is an empty member.
        let member = trim(member);
        if member.is_empty() {
            continue;
        }
        let Some(at) = member.iter().position(|byte| *byte == b'=') else { return false };
        let (key, value) = member.split_at(at);
        let is_new = !keys.contains(&key);
        if !is_new
            || keys.len() == MOST_MEMBERS
            || !is_key(key)
            || !is_value(value.get(1..).unwrap_or_default())
        {
            return false;
        }
        keys.push(key);
    }
    true
}

fn trim(member: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(start) = member.iter().position(is_text) else { return &[] };
    let end = member.iter().rposition(is_text).map_or(start, |last| last + 1);
    member.get(start..end).unwrap_or_default()
}

fn is_key(key: &[u8]) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_next = |byte: &u8| is_first(byte) || b"_-*/@".contains(byte);
    key.len() <= 256 && key.first().is_some_and(is_first) && key.iter().all(is_next)
}

fn is_value(value: &[u8]) -> bool {
    let is_of_value = |byte: &u8| matches!(byte, b' '..=b'~') && !b",=".contains(byte);
    (1..=256).contains(&value.len()) && value.iter().all(is_of_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_good(values: &[&str]) -> bool {
        is_state(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn lists_of_the_specification_are_read() {
        for values in [
            &["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"][..],
            &["rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE"],
            &["fw529a3039@dt=FfAAAAAAAA, a-b_c*d/e=x y", " ,\t, 0tel=th:c;rv:00000000000001 "],
            &[""],
        ] {
            assert!(is_good(values), "{values:?}");
        }
        let most: Vec<String> = (0..32).map(|number| format!("k{number}=v")).collect();
        assert!(is_good(&[&most.join(",")]));
        assert!(is_good(&[&format!("{}={}", "k".repeat(256), "v".repeat(256))]));
    }

    #[test]
    fn other_lists_are_not() {
        for value in [
            "congo",
            "congo=",
            "=t61",
            "Congo=1",
            "_c=1",
            "c o=1",
            "c=1=2",
            "c=\u{e9}",
            "c=1\u{0}",
            "c=1,c=2",
            "c=1;d=2,\"=3",
        ] {
            assert!(!is_good(&[value]), "{value:?}");
        }
        assert!(!is_good(&["c=1", "c=2"]));
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        assert!(!is_good(&[&many.join(",")]));
        assert!(!is_good(&[&format!("{}=v", "k".repeat(257))]));
        assert!(!is_good(&[&format!("k={}", "v".repeat(257))]));
    }
}
