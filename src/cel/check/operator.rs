//! The types that operators take.

use std::ops::Range;

use super::{Checker, Typed};
use crate::cel::arithmetic;
use crate::cel::environment::Type;
use crate::cel::node::ProgramNode;
use crate::cel::syntax::{Expression, Operator};

impl Checker<'_> {
    pub(super) fn binary(
        &mut self,
        range: &Range<usize>,
        operator: Operator,
        [left, right]: &[Expression; 2],
    ) -> Typed {
        let (left, right) = (self.typed(left), self.typed(right));
        match result(operator, &left.of, &right.of) {
            Some(of) => self.folded(operator, left, right, of),
            None => {
                let (message, help) = mismatch(operator, &left.of, &right.of);
                self.fault(range, message, help)
            }
        }
    }

    pub(super) fn negative(&mut self, operand: &Expression) -> Typed {
        let typed = self.typed(operand);
        if !matches!(typed.of, Type::Int | Type::Double | Type::Dyn) {
            let message = format!("{} has no negative", typed.of.with_article());
            return self.fault(&operand.range, message, "only ints and doubles have one");
        }
        let folded = typed.constant().and_then(|value| arithmetic::negate(value).ok());
        match folded {
            Some(value) => Typed::new(ProgramNode::Constant(value), typed.of),
            None => Typed::new(ProgramNode::Negate(Box::new(typed.node)), typed.of),
        }
    }
}

/// The type an operator yields on such types; `None` where it takes none of the kind.
fn result(operator: Operator, left: &Type, right: &Type) -> Option<Type> {
    use Type::{Bytes, Double, Duration, Dyn, Int, String, Timestamp, Uint};
    match operator {
        Operator::Equal | Operator::NotEqual => left.fits(right).then_some(Type::Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let numbers = left.is_number() && right.is_number();
            let ordered = |of: &Type| matches!(of, Type::Bool | String | Bytes | Timestamp | Duration | Dyn);
            let fits = numbers
                || (left.fits(right)
                    && (ordered(left) || left.is_number())
                    && (ordered(right) || right.is_number()));
            fits.then_some(Type::Bool)
        }
        Operator::In => match right {
            Type::List(of) => left.fits(of).then_some(Type::Bool),
            Type::Map(key, _) => left.fits(key).then_some(Type::Bool),
            Dyn => Some(Type::Bool),
            _ => None,
        },
        Operator::Index => match left {
            Type::List(of) => right.fits(&Int).then(|| (**of).clone()),
            Type::Map(key, value) => right.fits(key).then(|| (**value).clone()),
            Dyn => Some(Dyn),
            _ => None,
        },
        Operator::Add => match (left, right) {
            (Timestamp, Duration) | (Duration, Timestamp) => Some(Timestamp),
            (Dyn | Timestamp | Duration, Dyn) | (Dyn, Timestamp | Duration) => Some(Dyn),
            (Int | Uint | Double | String | Bytes | Duration | Type::List(_) | Dyn, _)
                if left.fits(right) =>
            {
                Some(left.clone().join(right.clone()))
            }
            _ => None,
        },
        Operator::Subtract => match (left, right) {
            (Timestamp, Timestamp) | (Duration, Duration) => Some(Duration),
            (Timestamp, Duration) => Some(Timestamp),
            (Dyn | Timestamp | Duration, Dyn) | (Dyn, Timestamp | Duration) => Some(Dyn),
            (Int | Uint | Double | Dyn, Int | Uint | Double | Dyn) if left.fits(right) => {
                Some(left.clone().join(right.clone()))
            }
            _ => None,
        },
        Operator::Multiply | Operator::Divide | Operator::Modulo => {
            let takes =
                |of: &Type| of.is_number() && (operator != Operator::Modulo || *of != Double) || *of == Dyn;
            (takes(left) && takes(right) && left.fits(right)).then(|| left.clone().join(right.clone()))
        }
    }
}

fn mismatch(operator: Operator, left: &Type, right: &Type) -> (String, String) {
    let symbol = operator.symbol();
    let message = match operator {
        Operator::Equal | Operator::NotEqual => {
            format!("{left} and {right} cannot be compared with `{symbol}`")
        }
        Operator::In => format!("`in` does not look for {left} in {right}"),
        Operator::Index => format!("{left} has no index of type {right}"),
        _ => format!("`{symbol}` does not work on {left} and {right}"),
    };
    let help = match (operator, left, right) {
        (Operator::Index, Type::List(_), _) => "lists are indexed with integers, from 0",
        (Operator::Index, ..) => "only lists and maps have an index",
        (Operator::In, ..) => {
            "`in` looks for a value of a list, or for a key of a map; parts of strings are found \
                               with `text.contains('…')`"
        }
        (_, Type::Timestamp, Type::String) | (_, Type::String, Type::Timestamp) => {
            "write times as `timestamp('2030-01-01T00:00:00Z')`"
        }
        (_, Type::Timestamp | Type::Duration, Type::Int)
        | (_, Type::Int, Type::Timestamp | Type::Duration) => {
            "write durations as `duration('3600s')`, or take a part of a time, such as `request.time.getHours()`"
        }
        (_, Type::String, Type::Int | Type::Uint | Type::Double)
        | (_, Type::Int | Type::Uint | Type::Double, Type::String) => {
            "convert one side, with `int(…)` or `string(…)`, or leave out the quotes of a number"
        }
        (_, left, right) if left.is_number() && right.is_number() => {
            "both sides are of one kind of number: write `1u` for a uint, `1.0` for a double, or convert one side"
        }
        _ => "both sides have to be of one type",
    };
    (message, help.to_owned())
}
