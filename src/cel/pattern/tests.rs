use super::*;

fn found(pattern: &str, text: &str) -> bool {
    let pattern = MatchPattern::compile(pattern).unwrap_or_else(|reason| panic!("{pattern}: {reason}"));
    pattern.is_found_in(text, &mut Budget::new(1_000_000)).unwrap()
}

#[test]
fn patterns_mean_what_they_mean_in_re2() {
    for (pattern, text, expected) in [
        // Digits, words and spaces are of ASCII.
        (r"^\d+$", "123", true),
        (r"^\d+$", "١٢٣", false),
        (r"^\w+$", "abc_1", true),
        (r"^\w+$", "ü", false),
        (r"^\W$", "ü", true),
        (r"^[\w-]+$", "a-b", true),
        (r"^[^\d]+$", "abc", true),
        (r"^[^\d]+$", "a1", false),
        (r"^[\D]$", "٣", true),
        (r"\s", "\u{a0}", false),
        (r"(?i)^\w$", "\u{212a}", false),
        (r"(?i)^k$", "\u{212a}", true),
        (r"\bb", "üb", true),
        // Escaped punctuation is itself.
        (r"^\<a\>\-\/\ß?$", "<a>-/", false),
        (r"^\<a\>\-\/$", "<a>-/", true),
        (r"^a\.b$", "axb", false),
        // Ends of the text, and of lines.
        ("^b$", "a\nb\n", false),
        ("(?m)^b$", "a\nb\n", true),
        (r"\Ab\z", "b", true),
        ("a.b", "a\nb", false),
        ("(?s)a.b", "a\nb", true),
        // Classes.
        ("^[]a]+$", "]a", true),
        ("^[^]a]+$", "b", true),
        ("^[[:alpha:]_]+$", "ab_", true),
        ("^[a&b]+$", "a&b", true),
        ("^a{2,3}$", "aaa", true),
        ("(?P<x>a)(?:b)", "ab", true),
        ("^x}$", "x}", true),
        ("a|b", "xbx", true),
        (r"\pL", "ü", true),
        (r"\x{fc}", "ü", true),
    ] {
        if pattern.contains('ß') {
            assert!(MatchPattern::compile(pattern).is_err());
        } else {
            assert_eq!(found(pattern, text), expected, "{pattern} in {text:?}");
        }
    }
}

#[test]
fn patterns_that_the_two_read_differently_are_refused() {
    for pattern in [
        "[a&&b]",
        "[a--b]",
        "[a~~b]",
        "[[a]]",
        "(?x)a",
        "(?u)a",
        "(?R)a",
        r"\1",
        r"(a)\1",
        "(?=a)",
        "(?<=a)",
        "(?!a)",
        "a{,5}",
        "a{",
        "a{1001}",
        "{",
        r"\Qa\E",
        r"\C",
        r"\h",
        r"\G",
        r"\b{start}",
        r"\u00fc",
        "(",
        ")",
        "[",
        "*",
        "a**b[",
        r"\",
        r"[\b]",
        "(?P=x)",
        "(?#a)",
    ] {
        assert!(MatchPattern::compile(pattern).is_err(), "{pattern} is taken");
    }
}

#[test]
fn hostile_patterns_are_refused_at_load_or_paid_for() {
    for pattern in
        ["(a{1000}){1000}", "((a{100}){100}){100}", r"(\pL{100}){100}", &"a".repeat(MAX_LENGTH + 1)]
    {
        assert!(MatchPattern::compile(pattern).is_err(), "{pattern} is taken");
    }
    let usual = MatchPattern::compile("^projects/[^/]+/locations/us-[a-z0-9-]+/").unwrap();
    let heavy = MatchPattern::compile("(a?){300}a{300}").unwrap();
    assert!(usual.weight <= 4, "{}", usual.weight);
    assert!(heavy.weight > usual.weight);
    let mut budget = Budget::new(100_000);
    assert_eq!(MatchPattern::compile_late("(a{1000}){1000}", &mut budget).unwrap_err(), {
        EvaluationError::Error(
            "the pattern cannot be used: Compiled regex exceeds size limit of 16384 bytes.".into(),
        )
    });
    assert!(budget.left() < 100_000 - 50_000);
    assert_eq!(MatchPattern::compile_late("a", &mut budget).unwrap_err(), EvaluationError::Budget);
}
