use super::*;

const MANY: usize = 100_000;

/// Half of what threads have by default, and without the compiler's optimisation.
const STACK: usize = 1024 * 1024;

/// The parser alone: the longest text of an expression would refuse most of these before they are read.
fn parsed_on_a_small_stack(text: String) -> Option<String> {
    let parse = move || parser::parse(&text).err().map(|fault| fault.message);
    std::thread::Builder::new().stack_size(STACK).spawn(parse).unwrap().join().unwrap()
}

#[test]
fn no_repetition_overflows_the_stack() {
    let shapes = [
        ("!", "", "true"),
        ("-", "", "a"),
        ("- ", "", "1"),
        ("(", ")", "1"),
        ("[", "]", "1"),
        ("{1:", "}", "1"),
        ("f(", ")", "1"),
        ("a.f(", ")", "1"),
        ("a[", "]", "1"),
        ("a?b:", "", "1"),
        ("a?(", "):b", "1"),
        ("[1].all(x,", ")", "true"),
        ("has(a.b)?", "", "1"),
        ("", ".b", "a"),
        ("", ".b()", "a"),
        ("", "[0]", "a"),
        ("", "+1", "1"),
        ("", "*1", "1"),
        ("", "==1", "1"),
        ("", " in a", "a"),
        ("", ".map(x,x)", "a"),
    ];
    for (before, after, core) in shapes {
        let text = [before.repeat(MANY).as_str(), core, after.repeat(MANY).as_str()].concat();
        let shape = format!("{before}{core}{after}");
        let message = parsed_on_a_small_stack(text).unwrap_or_else(|| panic!("{shape} was taken"));
        let known = ["the expression is nested too deeply", "expected a value, found `?`"];
        assert!(known.contains(&message.as_str()) || before == "has(a.b)?", "{shape}: {message}");
    }
}

#[test]
fn chains_of_terms_are_not_deep() {
    for symbol in ["&&", "||"] {
        let text = vec!["true"; MANY].join(symbol);
        assert_eq!(parsed_on_a_small_stack(text), None);
    }
    let list = format!("[{}]", "1,".repeat(MANY));
    assert_eq!(parsed_on_a_small_stack(list), None);
}

/// What the parser takes at the deepest is checked, evaluated and dropped on a small stack too.
#[test]
fn the_deepest_expression_fits_a_small_stack() {
    let shapes = [
        (["(", "true", ")"], 46),
        (["!", "true", ""], 46),
        (["-", "anything", ""], 46),
        (["[1].all(x, ", "true", ")"], 46),
        (["true ? (", "true", ") : false"], 23),
        (["", "[true]", ".map(x, x)"], 46),
        (["[", "true", "]"], 46),
        (["{1: ", "true", "}"], 46),
        (["{1: [", "anything", "][0]}"], 15),
        (["true == (", "true", ")"], 23),
        (["size(string(", "anything", "))"], 23),
    ];
    for ([before, core, after], levels) in shapes {
        let text = [before.repeat(levels).as_str(), core, after.repeat(levels).as_str()].concat();
        let run = move || {
            let program = Program::compile(&text, &environment(), &Type::Dyn)
                .map_err(|faults| format!("{faults:?}"))?;
            program
                .evaluate(&Request, &mut Budget::new(100_000))
                .map(|value| print(&value))
                .map_err(|e| e.to_string())
        };
        let result = std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
        assert!(result.is_ok(), "{before} {result:?}");
    }
}

#[test]
fn a_long_expression_is_refused() {
    let text = format!("'{}' == ''", "a".repeat(Program::MAX_LENGTH));
    let faults = Program::compile(&text, &environment(), &Type::Bool).unwrap_err();
    assert_eq!(faults[0].message, "the expression is longer than 64 KiB");
}

#[test]
fn hostile_expressions_end_at_the_budget() {
    let list = format!("[{}]", vec!["1"; 200].join(", "));
    let texts = [
        // 200^4 steps.
        format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, d == 1))))"),
        // A list of lists of lists.
        format!("{list}.map(a, {list}.map(b, {list}.map(c, {list}))).size() > 0"),
        // Errors are absorbed, the budget is not.
        format!("{list}.exists(a, {list}.exists(b, {list}.exists(c, 1 / (c - 1) == 1))) || true"),
        // 2^40 bytes, by doubling.
        format!("[resource.name].map(x0, x0 + x0){}[0].size() > 0", ".map(x, x + x)".repeat(40)),
        format!("[{list}]{}[0].size() > 0", ".map(x, x + x)".repeat(35)),
        // Equality of lists that share their parts: small in memory, large to go through.
        format!("[[1]]{0} == [[1]]{0}", ".map(x, [x, x, x, x])".repeat(20)),
        // Patterns made in the evaluation.
        format!("{list}.exists(a, resource.name.matches('(o|e)+x' + resource.name))"),
        format!("{list}.all(a, {list}.all(b, resource.name.matches('(.*)+x$') || true))"),
        // A long text, gone through again and again.
        format!(
            "[resource.name{}].all(x, {list}.all(y, {list}.all(z, x.contains('zz') || true)))",
            " + resource.name".repeat(40)
        ),
        format!(
            "{list}.all(a, {list}.all(b, request.time.getHours(resource.name.extract('{{x}}/')) == 1 || true))"
        ),
        format!("{list}.all(a, {list}.all(b, resource.name.split('').join('').size() > 0))"),
    ];
    for text in texts {
        let program = Program::compile(&text, &environment(), &Type::Bool)
            .unwrap_or_else(|faults| panic!("{faults:?}"));
        let mut budget = Budget::new(1_000_000);
        let result = program.evaluate(&Request, &mut budget).map(|value| print(&value));
        assert_eq!(result, Err(EvaluationError::Budget), "{text}");
        assert_eq!(budget.left(), 0);
        // An empty budget is empty for the next expression as well.
        let next = Program::compile("true", &environment(), &Type::Bool).unwrap();
        assert_eq!(
            next.evaluate(&Request, &mut budget).map(|value| print(&value)),
            Err(EvaluationError::Budget)
        );
    }
}

#[test]
fn a_large_constant_is_not_worked_out_at_load() {
    let text = format!("['{}']{}[0].size() > 0", "a".repeat(1000), ".map(x, x + x)".repeat(30));
    let program = Program::compile(&text, &environment(), &Type::Bool).unwrap();
    let result = program.evaluate(&Request, &mut Budget::new(100_000)).map(|value| print(&value));
    assert_eq!(result, Err(EvaluationError::Budget));
    let long = vec![format!("'{}'", "a".repeat(1200)); 40].join(" + ");
    let program = Program::compile(&format!("size({long}) > 0"), &environment(), &Type::Bool).unwrap();
    let mut budget = Budget::new(10_000);
    assert_eq!(
        program.evaluate(&Request, &mut budget).map(|value| print(&value)),
        Err(EvaluationError::Budget)
    );
}

/// A condition of the usual kind is far from any bound.
#[test]
fn a_usual_condition_costs_little() {
    let text =
        "resource.name.startsWith('projects/demo/') && request.time < timestamp('2030-01-01T00:00:00Z')";
    let program = Program::compile(text, &environment(), &Type::Bool).unwrap();
    let mut budget = Budget::new(1000);
    assert_eq!(print(&program.evaluate(&Request, &mut budget).unwrap()), "true");
    assert!(1000 - budget.left() < 50, "{} units", 1000 - budget.left());
}

/// Bytes that a value takes, those it shares counted once.
fn size(value: &Value<'_>, seen: &mut std::collections::HashSet<usize>) -> usize {
    let own = match value {
        Value::String(std::borrow::Cow::Owned(text)) => text.len(),
        Value::Bytes(std::borrow::Cow::Owned(bytes)) => bytes.len(),
        Value::List(list) if seen.insert(list.values().as_ptr().addr()) => {
            list.values().iter().map(|value| size(value, seen)).sum()
        }
        Value::Map(map) if seen.insert(map.entries().as_ptr().addr()) => {
            let entries = map.entries().iter();
            entries.map(|(key, value)| size(&key.to_value(), seen) + size(value, seen)).sum()
        }
        _ => 0,
    };
    own + size_of::<Value<'_>>()
}

#[test]
fn a_value_is_no_larger_than_the_work_charged_for_it() {
    for text in [
        "resource.name.split('')",
        "resource.name.split('').map(x, x + resource.name)",
        "resource.name.split('').map(x, [x, x, resource.name])",
        "resource.name.split('').map(x, {x + 'a': x + x})",
        "resource.name.split('').map(x, resource.name.split(''))",
        "[resource.name].map(x, x + x + x + x)",
        "(resource.name + '/').split('/').join(resource.name)",
        "resource.name.split('').map(x, bytes(resource.name + x))",
        "resource.name.split('').map(x, string(request.time))",
        "resource.name.split('').map(x, [])",
        "resource.name.split('') + resource.name.split('')",
        "(resource.name + 'A').split('e').map(x, x.upperAscii().lowerAscii())",
        "{resource.name + 'a': [resource.name + 'b'], 'c': {1: resource.name.split('')}}",
    ] {
        let program = Program::compile(text, &environment(), &Type::Dyn).unwrap();
        let mut budget = Budget::new(1_000_000);
        let value = program.evaluate(&Request, &mut budget).unwrap();
        let (taken, paid) = (size(&value, &mut Default::default()), 1_000_000 - budget.left());
        assert!(taken as u64 <= paid + 64, "{text} takes {taken} bytes for {paid} units");
    }
}

/// A constant that is too large for the load is not a fault: it is left to the evaluation.
#[test]
fn literals_are_taken_however_much_stands_before_them() {
    let list = format!("[{}]", vec!["1"; 20_000].join(","));
    let text = format!("{list}.size() == 20000 && request.time < timestamp('2030-01-01T00:00:00Z')");
    let program = Program::compile(&text, &environment(), &Type::Bool).unwrap();
    assert_eq!(print(&program.evaluate(&Request, &mut Budget::new(1_000_000)).unwrap()), "true");
}
