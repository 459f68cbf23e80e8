//! How long an expression can be true, as far as comparisons with the time decide it.

use super::instant::Timestamp;
use super::node::ProgramNode;
use super::syntax::Operator;
use super::value::Value;

/// The last moment at which an expression can be true, where it is bounded by one. `clock` is the slot of the time.
pub(super) fn horizon(node: &ProgramNode, clock: usize) -> Option<Timestamp> {
    match node {
        ProgramNode::All(terms) => terms.iter().filter_map(|term| horizon(term, clock)).min(),
        ProgramNode::Any(terms) => {
            let bounds: Option<Vec<Timestamp>> = terms.iter().map(|term| horizon(term, clock)).collect();
            bounds?.into_iter().max()
        }
        ProgramNode::Binary { operator, sides } => match (operator, &**sides) {
            (
                Operator::Less | Operator::LessOrEqual | Operator::Equal,
                [ProgramNode::Variable(slot), ProgramNode::Constant(Value::Timestamp(bound))],
            )
            | (
                Operator::Greater | Operator::GreaterOrEqual | Operator::Equal,
                [ProgramNode::Constant(Value::Timestamp(bound)), ProgramNode::Variable(slot)],
            ) if *slot == clock => Some(*bound),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::cel::{Environment, Program, Type};

    fn horizon(expression: &str) -> Option<i64> {
        let environment = Environment::new()
            .variable("request.path", Type::String)
            .variable("request.time", Type::Timestamp)
            .variable("other.time", Type::Timestamp);
        let program = Program::compile(expression, &environment, &Type::Bool).unwrap();
        program.horizon(1).map(|bound| bound.seconds())
    }

    #[test]
    fn comparisons_with_the_time_bound_an_expression() {
        let at = |seconds: u32| format!("timestamp('1970-01-01T00:00:{seconds:02}Z')");
        let (two, five) = (at(2), at(5));
        for (expression, expected) in [
            (format!("request.time < {two}"), Some(2)),
            (format!("request.time <= {two}"), Some(2)),
            (format!("request.time == {two}"), Some(2)),
            (format!("{two} > request.time"), Some(2)),
            (format!("{two} >= request.time"), Some(2)),
            (format!("request.time < {two} + duration('3s')"), Some(5)),
            (format!("request.path == '' && request.time < {two}"), Some(2)),
            (format!("request.time < {five} && request.time < {two}"), Some(2)),
            (format!("request.time < {five} || request.time < {two}"), Some(5)),
            (format!("request.time < {five} || request.path == ''"), None),
            (format!("request.time > {two}"), None),
            (format!("{two} < request.time"), None),
            (format!("request.time != {two}"), None),
            (format!("!(request.time < {two})"), None),
            (format!("other.time < {two}"), None),
            ("request.path == ''".to_owned(), None),
        ] {
            assert_eq!(horizon(&expression), expected, "{expression}");
        }
    }
}
