use proptest::prelude::*;

use super::*;

/// Parts that random expressions are made of: of all types, known and unknown, and some that err.
fn leaf() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "true",
        "false",
        "null",
        "0",
        "1",
        "-7",
        "2u",
        "1.5",
        "'a'",
        "''",
        "b'x'",
        "[]",
        "{}",
        "int",
        "anything",
        "claims",
        "resource.name",
        "request.time",
        "request.path",
        "claims.groups",
        "duration('90s')",
        "timestamp(0)",
        "(1 / 0)",
        "x",
        "y",
        "dyn('12')",
        "'(a|b)+'",
        "'Europe/Berlin'",
    ])
    .prop_map(str::to_owned)
}

/// Expressions that mostly have a value: every part is of the type that its place wants.
fn typed(of: Of, depth: u32) -> BoxedStrategy<String> {
    let leaves = match of {
        Of::Bool => vec!["true", "false", "anything == 7", "has(claims.groups)", "request.path == ''"],
        Of::Int => vec!["0", "1", "-7", "42", "request.time.getHours()", "claims.age"],
        Of::String => vec!["'a'", "''", "'ü/b'", "resource.name", "string(x)", "'{y}/'"],
        Of::List => vec!["[]", "claims.groups", "['a', 'b']", "resource.name.split('/')", "['']"],
    };
    let leaf = prop::sample::select(leaves).prop_map(str::to_owned);
    if depth == 0 {
        return leaf.boxed();
    }
    let [truth, number, text, list] =
        [Of::Bool, Of::Int, Of::String, Of::List].map(|of| typed(of, depth - 1));
    let form = |pattern: &'static [&'static str]| prop::sample::select(pattern);
    let grown = match of {
        Of::Bool => prop_oneof![
            (form(&["A && B", "A || B", "!A", "A == B", "(A ? B : A)"]), truth.clone(), truth.clone())
                .prop_map(fill),
            (form(&["A < B", "A >= B", "A != B", "A in [B, 1]"]), number.clone(), number.clone())
                .prop_map(fill),
            (
                form(&["A.startsWith(B)", "A.contains(B)", "A.matches('^a.*/' + B)", "A in {B: 1}"]),
                text.clone(),
                text
            )
                .prop_map(fill),
            (form(&["A.exists(x, B)", "A.all(x, B)", "A.exists_one(x, B)"]), list.clone(), truth.clone())
                .prop_map(fill),
            (form(&["A == B", "A.hasOnly(B)"]), list.clone(), list).prop_map(fill),
        ]
        .boxed(),
        Of::Int => prop_oneof![
            (form(&["A + B", "A - B", "A * B", "A / B", "A % B", "-A", "[A, B][1]"]), number.clone(), number)
                .prop_map(fill),
            (form(&["size(A)", "A.size()"]), text, list.clone()).prop_map(fill),
            (form(&["size(A)"]), list, truth).prop_map(fill),
        ]
        .boxed(),
        Of::String => prop_oneof![
            (form(&["A + B", "A.extract('/' + '{z}')", "A.upperAscii()"]), text.clone(), text.clone())
                .prop_map(fill),
            (form(&["string(A)", "(A > 1 ? B : 'c')"]), number, text.clone()).prop_map(fill),
            (form(&["A.join(B)", "A.join()"]), list, text).prop_map(fill),
        ]
        .boxed(),
        Of::List => prop_oneof![
            (form(&["A + B", "[A, B][0]"]), list.clone(), list.clone()).prop_map(fill),
            (form(&["A.map(x, B)", "A.map(x, B, x)", "A.filter(x, B)"]), list.clone(), truth).prop_map(fill),
            (form(&["A.map(x, string(x) + B)", "A.map(y, B)"]), list, text.clone()).prop_map(fill),
            (form(&["A.split(B)", "[A, B]", "{A: 1, 'k': 2}.map(x, x)"]), text.clone(), text).prop_map(fill),
        ]
        .boxed(),
    };
    prop_oneof![1 => leaf, 4 => grown].boxed()
}

#[derive(Clone, Copy)]
enum Of {
    Bool,
    Int,
    String,
    List,
}

fn fill((pattern, a, b): (&'static str, String, String)) -> String {
    let part = |letter: char| if letter == 'A' { format!("({a})") } else { format!("({b})") };
    let filled =
        pattern.chars().map(|letter| if matches!(letter, 'A' | 'B') { part(letter) } else { letter.into() });
    filled.collect()
}

/// Expressions of any kind: what fits no type is left to the evaluation.
fn wild() -> impl Strategy<Value = String> {
    leaf().prop_recursive(6, 60, 3, |inner| {
        let operators = prop::sample::select(vec![
            "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "&&", "||",
        ]);
        let functions = prop::sample::select(vec![
            "size", "type", "dyn", "bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "date",
        ]);
        let methods = prop::sample::select(vec![
            "matches", "contains", "startsWith", "endsWith", "split", "join", "extract", "hasOnly", "getHours",
            "getFullYear",
        ]);
        let macros = prop::sample::select(vec!["all", "exists", "exists_one", "filter", "map"]);
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            3 => (pair.clone(), operators).prop_map(|((a, b), operator)| format!("(dyn({a}) {operator} dyn({b}))")),
            2 => (inner.clone(), functions).prop_map(|(a, function)| format!("{function}(dyn({a}))")),
            2 => (pair.clone(), methods).prop_map(|((a, b), method)| format!("dyn({a}).{method}(dyn({b}))")),
            2 => (pair.clone(), macros, prop::sample::select(vec!["x", "y"]))
                .prop_map(|((a, b), name, variable)| format!("dyn({a}).{name}({variable}, dyn({b}))")),
            1 => (pair.clone(), inner.clone()).prop_map(|((a, b), c)| format!("(dyn({a}) ? dyn({b}) : dyn({c}))")),
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            1 => pair.clone().prop_map(|(a, b)| format!("{{dyn({a}): {b}}}")),
            1 => pair.prop_map(|(a, b)| format!("dyn({a})[dyn({b})]")),
            1 => inner.clone().prop_map(|a| format!("has(dyn({a}).groups)")),
            1 => inner.prop_map(|a| format!("(!dyn({a}) || -dyn({a}) == 1)")),
        ]
    })
}

fn expression() -> impl Strategy<Value = String> {
    prop_oneof![typed(Of::Bool, 4), typed(Of::List, 4), wild()]
}

/// `x` and `y` are variables of macros; outside of one they are of the environment.
fn wide() -> Environment {
    environment().variable("x", Type::Dyn).variable("y", Type::Dyn)
}

struct Wide;

impl<'v> Activation<'v> for Wide {
    fn variable(&self, slot: usize) -> Result<Value<'v>, EvaluationError> {
        match slot {
            6 => Ok(Value::String("a long string that is made anew".to_owned().into())),
            7 => Ok(Value::from(vec![Value::Int(1), Value::from("b"), Value::Double(f64::NAN)])),
            other => Request.variable(other),
        }
    }

    fn function(&self, slot: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
        Request.function(slot, arguments)
    }
}

fn outcome(program: &Program, budget: &mut Budget) -> Result<String, EvaluationError> {
    program.evaluate(&Wide, budget).map(|value| print(&value))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// With as much as it needs an expression has its value; with one unit less it has none, whatever absorbs errors.
    #[test]
    fn the_budget_ends_an_evaluation_and_changes_none(text in expression(), share in 0.0..1.0_f64) {
        let compiled = Program::compile(&text, &wide(), &Type::Dyn);
        prop_assume!(compiled.is_ok());
        let program = compiled.unwrap();
        let mut ample = Budget::new(10_000_000);
        let expected = outcome(&program, &mut ample);
        prop_assert_ne!(&expected, &Err(EvaluationError::Budget));
        let needed = 10_000_000 - ample.left();

        let mut exact = Budget::new(needed);
        prop_assert_eq!(&outcome(&program, &mut exact), &expected);
        prop_assert_eq!(exact.left(), 0);

        let mut short = Budget::new((needed as f64 * share) as u64);
        prop_assert_eq!(outcome(&program, &mut short), Err(EvaluationError::Budget));
        prop_assert_eq!(short.left(), 0);
    }

    #[test]
    fn no_text_panics(text in ".{0,80}") {
        let _ = Program::compile(&text, &wide(), &Type::Bool);
    }

    #[test]
    fn no_sequence_of_tokens_panics(tokens in prop::collection::vec(token(), 0..30)) {
        let text = tokens.concat();
        if let Err(faults) = Program::compile(&text, &wide(), &Type::Bool) {
            for fault in faults {
                prop_assert!(text.get(fault.range.clone()).is_some(), "{:?} is not a place in {:?}", fault, text);
                prop_assert!(!fault.help.is_empty());
            }
        }
    }

    /// Whatever a pattern is: it is used with the meaning of RE2, or refused.
    #[test]
    fn no_pattern_panics(pattern in r"[\\\[\](){}?*+|^$.:<>!=&~a-c0-9dwsbBAzpP,-]{0,20}", text in "[a-c0-9 -]{0,10}") {
        if let Ok(pattern) = pattern::MatchPattern::compile(&pattern) {
            let _ = pattern.is_found_in(&text, &mut Budget::new(1000));
        }
    }

    #[test]
    fn terms_commute(terms in prop::collection::vec(term(), 2..6), seed in any::<u64>()) {
        let mut shuffled = terms.clone();
        let length = shuffled.len() as u64;
        shuffled.rotate_left((seed % length) as usize);
        shuffled.swap(0, (seed / length % length) as usize);
        for operator in [" && ", " || "] {
            prop_assert_eq!(truth(&terms.join(operator)), truth(&shuffled.join(operator)));
        }
        let negated: Vec<String> = terms.iter().map(|term| format!("!({term})")).collect();
        prop_assert_eq!(truth(&format!("!({})", terms.join(" && "))), truth(&negated.join(" || ")));
        // The macros are the same conjunctions.
        let list = format!("[{}]", (0..terms.len()).map(|index| index.to_string()).collect::<Vec<_>>().join(", "));
        let choice = terms.iter().enumerate().fold("true".to_owned(), |rest, (index, term)| {
            format!("(i == {index} ? {term} : {rest})")
        });
        prop_assert_eq!(truth(&format!("{list}.all(i, {choice})")), truth(&terms.join(" && ")));
        prop_assert_eq!(truth(&format!("{list}.exists(i, {choice})")), truth(&terms.join(" || ")));
    }

    /// Numbers are in one order, whichever way they are asked.
    #[test]
    fn order_is_consistent(left in number(), right in number()) {
        let ask = |operator: &str| truth(&format!("dyn({left}) {operator} dyn({right})")).unwrap();
        prop_assert_eq!(ask("=="), !ask("!="));
        prop_assert_eq!(ask("<="), ask("<") || ask("=="));
        prop_assert_eq!(ask(">="), ask(">") || ask("=="));
        prop_assert!(u8::from(ask("<")) + u8::from(ask(">")) + u8::from(ask("==")) == 1);
        prop_assert_eq!(ask("<"), truth(&format!("dyn({right}) > dyn({left})")).unwrap());
    }

    #[test]
    fn a_time_is_read_as_it_is_printed(seconds in -62_135_596_800..=253_402_300_799_i64, nanos in 0..1_000_000_000_u32) {
        let time = Timestamp::from_unix(seconds, nanos).unwrap();
        prop_assert_eq!(calendar::parse_time(&calendar::print_time(time)), Some(time));
        let duration = Duration::from_nanoseconds(time.total());
        prop_assert_eq!(duration.is_some(), i64::try_from(time.total()).is_ok());
        if let Some(duration) = duration {
            prop_assert_eq!(calendar::parse_duration(&calendar::print_duration(duration)), Some(duration));
        }
    }
}

fn token() -> impl Strategy<Value = String> {
    let tokens = vec![
        "resource", ".", "name", "(", ")", "[", "]", "{", "}", "?", ":", ",", "&&", "||", "!", "-", "+", "*",
        "/", "%", "==", "<", "in", " ", "\n", "//", "'", "\"", "'''", "`", "\\", "r'", "b\"", "1", "0x",
        "1e", ".5", "u", "has", "all", "x", "map", "true", "null", "ü", "=", "\u{0}", "if", "dyn", "1.",
    ];
    prop::sample::select(tokens).prop_map(str::to_owned)
}

/// True, false, an error, a value that is not a boolean, an attribute that is not known.
fn term() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["true", "false", "1 / 0 == 1", "dyn(1)", "request.path == ''"])
        .prop_map(|term| format!("({term})"))
}

/// `None` where there is no value.
fn truth(text: &str) -> Option<bool> {
    let program = Program::compile(text, &wide(), &Type::Dyn).unwrap();
    match program.evaluate(&Wide, &mut Budget::new(1_000_000)) {
        Ok(Value::Bool(value)) => Some(value),
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    }
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| format!("{number}u")),
        any::<i32>().prop_map(|number| format!("{number}.0")),
        (-3..3_i64).prop_map(|number| number.to_string()),
        (0..3_u64).prop_map(|number| format!("{number}u")),
        (-6..6_i64).prop_map(|number| format!("{:?}", number as f64 / 2.0)),
        prop::sample::select(vec![
            "9223372036854775807",
            "9223372036854775808u",
            "9223372036854775808.0",
            "-9223372036854775808",
            "18446744073709551615u",
            "1e300",
            "-1e300"
        ])
        .prop_map(str::to_owned),
    ]
}
