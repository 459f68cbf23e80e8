use super::value_of;

/// Expressions and their values.
fn all(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(text, expected)| value_of(text) != *expected)
        .map(|(text, expected)| format!("{text}\n    yields {}\n    and not {expected}", value_of(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn conditions_of_iam() {
    all(&[
        (
            "resource.name.startsWith('projects/demo/') && request.time < timestamp('2030-01-01T00:00:00Z')",
            "true",
        ),
        ("resource.name.extract('projects/{project}/')", "'demo'"),
        ("resource.name.extract('/operations/{id}')", "'o-1'"),
        ("resource.name.extract('{first}/')", "'projects'"),
        ("resource.name.extract('{all}')", "'projects/demo/locations/europe-west1/operations/o-1'"),
        ("resource.name.extract('folders/{id}/')", "''"),
        ("resource.name.extract('operations/{id}/')", "''"),
        ("request.time.getHours('Europe/Berlin')", "0"),
        ("request.time.getDayOfWeek('Europe/Berlin')", "6"),
        ("request.time < date('2009-02-14')", "true"),
        ("date('2020-02-01') + duration('86400s')", "2020-02-02T00:00:00Z"),
        ("request.time - date('2009-02-13')", "84690.123456789s"),
        ("resource.matchTag('env', 'prod')", "true"),
        ("api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/viewer'])", "true"),
        ("['a', 'b'].hasOnly(['b', 'a', 'c'])", "true"),
        ("['a', 'd'].hasOnly(['b', 'a', 'c'])", "false"),
        ("'A-Ü'.lowerAscii() + 'a-ü'.upperAscii()", "'a-ÜA-ü'"),
        ("claims.groups.exists(group, group == 'leads')", "true"),
        ("'oncall' in claims.groups", "true"),
        ("has(claims.email) ? claims.email : 'none'", "'none'"),
        (
            "claims['groups'].map(group, group + '@example.com')",
            "['oncall@example.com', 'leads@example.com']",
        ),
    ]);
}

#[test]
fn unknown_values_decide_nothing() {
    all(&[
        ("request.path == '/'", "failure: `request.path` is not known for this request"),
        ("request.path == '/' || true", "true"),
        ("false && request.path == '/'", "false"),
        ("request.path == '/' && true", "failure: `request.path` is not known for this request"),
        ("['/', 'a'].exists(x, x == 'a' || x == request.path)", "true"),
        ("['/', 'a'].all(x, x == request.path)", "failure: `request.path` is not known for this request"),
        ("(request.path == '/' ? 1 : 1) == 1", "failure: `request.path` is not known for this request"),
        ("[request.path].size() == 1", "failure: `request.path` is not known for this request"),
    ]);
}

#[test]
fn errors_are_absorbed_by_what_decides() {
    all(&[
        ("1 / 0 == 1 || true", "true"),
        ("true || 1 / 0 == 1", "true"),
        ("1 / 0 == 1 && false", "false"),
        ("1 / 0 == 1 || false", "failure: division by zero"),
        ("dyn(1) || true", "true"),
        ("dyn(1) && true", "failure: `&&` and `||` join booleans"),
        ("[1, 0].exists(x, 1 / x == 1)", "true"),
        ("[0, 1].exists(x, 1 / x == 1)", "true"),
        ("[0, 1].exists(x, 1 / x == 2)", "failure: division by zero"),
        ("[0, 1].all(x, 1 / x == 2)", "false"),
        ("[0, 1].all(x, 1 / x == 1)", "failure: division by zero"),
        ("[1, 0].exists_one(x, 1 / x == 1)", "failure: division by zero"),
        ("[1, 0].filter(x, 1 / x == 1)", "failure: division by zero"),
        ("[1, 2].filter(x, dyn(x))", "failure: the expression of a macro has to yield a boolean"),
    ]);
}

#[test]
fn macros() {
    all(&[
        ("[1, 2, 3].map(x, x * 2)", "[2, 4, 6]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "[4, 6]"),
        ("[1, 2, 3].filter(x, x != 2)", "[1, 3]"),
        ("[[1, 2], [3]].map(x, x.map(y, x.size() * y))", "[[2, 4], [3]]"),
        ("[1, 2].existsOne(x, x == 1)", "true"),
        ("{'b': 1, 'a': 2}.map(k, k)", "['a', 'b']"),
        ("[1].all(x, [2].all(x, x == 2) && x == 1)", "true"),
        ("dyn(1).all(x, true)", "failure: only lists and maps can be gone through"),
        ("has({'a': {}}.a.b)", "false"),
        ("has({}.a.b)", "failure: the map has no such key"),
        ("has(dyn(1).a)", "failure: only maps have keys"),
    ]);
}

#[test]
fn numbers() {
    all(&[
        ("9223372036854775807 + 1", "failure: the result is outside the range of its type"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-(-9223372036854775808)", "failure: the result is outside the range of its type"),
        ("-9223372036854775808 / -1", "failure: the result is outside the range of its type"),
        ("-9223372036854775808 % -1", "failure: the result is outside the range of its type"),
        ("0u - 1u", "failure: the result is outside the range of its type"),
        ("9223372036854775808", "fault: the number is too large"),
        ("-0x8000000000000000", "-9223372036854775808"),
        ("7 % -3", "1"),
        ("1.0 / 0.0", "inf"),
        ("1 < 1.5 && 2u > 1 && 1u < 1.1", "true"),
        ("0.0 / 0.0 == 0.0 / 0.0 || 0.0 / 0.0 < 1.0 || 0.0 / 0.0 >= 1.0", "false"),
        ("int('-5') + int(5.9) + int(5u)", "5"),
        ("int(1e19)", "failure: this double is not an int"),
        ("uint(-1)", "failure: this int is not a uint"),
        ("uint(-0.5)", "failure: this double is not a uint"),
        ("uint('+1')", "failure: this string is not a uint"),
        ("int('1 ')", "failure: this string is not an int"),
        ("bool('yes')", "failure: this string is not a bool"),
        (
            "[string(1e21), string(1e20), string(1.5e-7), string(0.0001)]",
            "['1e+21', '100000000000000000000', '1.5e-07', '0.0001']",
        ),
        ("{1: 'a'}[dyn(1.0)] + {1: 'a'}[dyn(1u)]", "'aa'"),
        ("{1: 'a', 1u: 'b'}", "fault: a key of the map is given twice"),
        ("[1, 2][dyn(1.0)]", "2"),
        ("[1, 2][-1]", "failure: the index is outside the list"),
        ("[0.0/0.0] == [0.0/0.0]", "false"),
    ]);
}

#[test]
fn strings_and_bytes() {
    all(&[
        ("'ü€𝄞'.size()", "3"),
        ("size(b'ü')", "2"),
        (r"'\u00fc\U0001d11e\x41\101\n'", "'ü𝄞AA\n'"),
        (r"b'\xff\377ü'", "b[255, 255, 195, 188]"),
        (r"r'\d' + R'''\n'''", r"'\d\n'"),
        ("'''a\n'b''c'''", "'a\n'b''c'"),
        ("'a,b,,c'.split(',')", "['a', 'b', '', 'c']"),
        ("'a,b,c'.split(',', 2)", "['a', 'b,c']"),
        ("'a,b'.split(',', 0)", "[]"),
        ("'aü'.split('')", "['a', 'ü']"),
        ("''.split(',')", "['']"),
        ("''.split('')", "[]"),
        ("('a' + ',b').split(',').join('-') + ['x', 'y'].join()", "'a-bxy'"),
        ("[dyn(1)].join()", "failure: `join` takes a list of strings"),
        ("string(b'\\xff')", "failure: the bytes are not UTF-8"),
        ("'x'.matches(resource.name + '(')", "failure: the pattern cannot be used: unclosed group"),
        ("'abc'.matches('^[a-c]+$') && matches('xabcx', 'b')", "true"),
        ("'b' in {'a': 1}.map(k, k) + ['b']", "true"),
        ("'a' < 'b' && b'a' < b'b' && false < true", "true"),
        ("anything + 'a'", "failure: `+` does not work on values of these types"),
        ("{'a b': 1}.`a b`", "1"),
        ("type(type(1)) == type && type(claims) == map && type(null) == null_type", "true"),
        ("type(request.time) == google.protobuf.Timestamp", "true"),
        ("// a comment\n1 // another", "1"),
        ("[1, 2,].size() + {'a': 1,}.size()", "3"),
    ]);
}

#[test]
fn times() {
    all(&[
        ("timestamp('2009-02-13T23:31:30.5+01:30')", "2009-02-13T22:01:30.5Z"),
        (
            "timestamp('9999-12-31T23:59:59.999999999Z') + duration('1ns')",
            "failure: the time is outside the years 1 to 9999",
        ),
        (
            "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')",
            "failure: the duration is longer than 292 years",
        ),
        ("timestamp('2262-04-11T23:47:16.854775807Z') - timestamp(0)", "9223372036.854775807s"),
        (
            "timestamp('2262-04-11T23:47:16.854775808Z') - timestamp(0)",
            "failure: the duration is longer than 292 years",
        ),
        (
            "duration('9223372036s') + duration('9223372036s')",
            "failure: the duration is longer than 292 years",
        ),
        ("timestamp('9999-12-31T23:59:59Z').getFullYear('+01:00')", "10000"),
        ("timestamp('9999-12-31T23:59:59Z').getHours('Europe/Berlin')", "0"),
        ("timestamp('0001-01-01T00:00:00Z').getFullYear('-01:00')", "0"),
        ("timestamp('2024-02-29T00:00:00Z').getDayOfYear()", "59"),
        ("timestamp('2024-12-31T00:00:00Z').getMonth()", "11"),
        ("[request.time.getDate(), request.time.getDayOfMonth()]", "[13, 12]"),
        ("request.time.getHours(resource.name)", "failure: this string is not a time zone"),
        ("request.time.getHours('UTC') == request.time.getHours()", "true"),
        ("request.time.getMilliseconds()", "123"),
        ("timestamp(-1)", "1969-12-31T23:59:59Z"),
        ("timestamp('1969-12-31T23:59:59.5Z').getMilliseconds()", "500"),
        ("int(timestamp('1969-12-31T23:59:59.5Z'))", "-1"),
        ("duration('1h30m') + duration('-1.5s')", "5398.5s"),
        ("duration('-1.5s').getMilliseconds()", "-500"),
        ("duration('90m').getHours()", "1"),
        ("duration('1s') < duration('1001ms')", "true"),
        (
            "string(timestamp('2009-02-13T23:31:30.120Z')) + string(duration('-0.5s'))",
            "'2009-02-13T23:31:30.12Z-0.5s'",
        ),
        ("timestamp(resource.name) == request.time || true", "true"),
        ("timestamp(resource.name)", "failure: this string is not a timestamp"),
    ]);
}
