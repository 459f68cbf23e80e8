//! Nodes to values. Every step is charged before it is made; the recursion is no deeper than the expression is high.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::activation::Activation;
use super::arithmetic;
use super::budget::Budget;
use super::calendar;
use super::compare;
use super::environment::Type;
use super::fault::Failure;
use super::function;
use super::node::Node;
use super::syntax::Operator;
use super::value::{Key, Map, Value};

mod repeat;

/// What it costs to find a zone's offset at a time.
const OFFSET_COST: usize = 16;

/// What a host's function costs beside its arguments.
const HOST_COST: usize = 16;

/// The value of a checked expression, which has to be of the type.
pub(super) fn evaluate<'v>(
    node: &'v Node,
    expected: &Type,
    activation: &'v dyn Activation<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, Failure> {
    let mut evaluation = Evaluation { activation, budget, locals: Vec::new() };
    let value = evaluation.value(node)?;
    if admits(expected, &value, evaluation.budget)? {
        return Ok(value);
    }
    let message = format!("the expression yields {}, where {expected} is wanted", value.kind());
    Err(Failure::Error(Cow::Owned(message)))
}

struct Evaluation<'v, 'b> {
    activation: &'v dyn Activation<'v>,
    budget: &'b mut Budget,
    /// The variables of the macros around, the outermost first.
    locals: Vec<Value<'v>>,
}

impl<'v> Evaluation<'v, '_> {
    fn value(&mut self, node: &'v Node) -> Result<Value<'v>, Failure> {
        self.budget.charge(1)?;
        match node {
            Node::Constant(value) => Ok(value.borrowed()),
            Node::Variable(slot) => {
                let value = self.activation.variable(*slot)?;
                // Claims are made into a map each time that they are asked for.
                self.budget.charge(value.built())?;
                Ok(value)
            }
            Node::Local(index) => {
                let local = self.locals.get(*index).ok_or(Failure::text("no such variable"))?;
                local.copy(self.budget)
            }
            Node::All(terms) => self.logic(terms, false),
            Node::Any(terms) => self.logic(terms, true),
            Node::Not(operand) => match self.value(operand)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                _ => Err(Failure::text("`!` takes a boolean")),
            },
            Node::Negate(operand) => arithmetic::negate(&self.value(operand)?),
            Node::Conditional(parts) => self.conditional(parts),
            Node::Binary { operator, sides } => self.binary(*operator, sides),
            Node::Call { function, arguments } => self.call(*function, arguments),
            Node::Matches { text, pattern } => match self.value(text)? {
                Value::String(text) => pattern.is_found_in(&text, self.budget).map(Value::Bool),
                _ => Err(Failure::text("`matches` takes a string")),
            },
            Node::PartIn { part, time, zone } => match self.value(time)? {
                Value::Timestamp(time) => self
                    .budget
                    .charge(OFFSET_COST)
                    .map(|()| Value::Int(calendar::part_of_time(*part, time, zone))),
                _ => Err(Failure::text("only timestamps have a zone")),
            },
            Node::Select { operand, field } => self.select(operand, field),
            Node::Has { operand, field } => {
                let map = self.value(operand)?;
                Ok(Value::Bool(compare::at_key(&map, field, self.budget)?.is_some()))
            }
            Node::List(values) => self.list(values),
            Node::Map(entries) => self.map(entries),
            Node::Host { slot, arguments, parameters } => self.host(*slot, arguments, parameters),
            Node::Loop(found) => self.repeat(found),
        }
    }

    /// `&&` (decided by `false`) and `||` (decided by `true`): a term that decides wins over errors, on either side.
    fn logic(&mut self, terms: &'v [Node], deciding: bool) -> Result<Value<'v>, Failure> {
        let mut failure = None;
        for term in terms {
            match self.value(term) {
                Ok(Value::Bool(value)) if value == deciding => return Ok(Value::Bool(deciding)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    failure.get_or_insert(Failure::text("`&&` and `||` join booleans"));
                }
                Err(Failure::Budget) => return Err(Failure::Budget),
                Err(other) => {
                    failure.get_or_insert(other);
                }
            }
        }
        failure.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn conditional(&mut self, [condition, first, second]: &'v [Node; 3]) -> Result<Value<'v>, Failure> {
        match self.value(condition)? {
            Value::Bool(true) => self.value(first),
            Value::Bool(false) => self.value(second),
            _ => Err(Failure::text("`?` takes a boolean")),
        }
    }

    fn binary(&mut self, operator: Operator, [left, right]: &'v [Node; 2]) -> Result<Value<'v>, Failure> {
        let left = self.value(left)?;
        let right = self.value(right)?;
        binary(operator, left, right, self.budget)
    }

    /// Most functions take one or two arguments: those need no vector.
    fn call(&mut self, called: function::Function, arguments: &'v [Node]) -> Result<Value<'v>, Failure> {
        match arguments {
            [only] => {
                let only = self.value(only)?;
                function::apply(called, &[only], self.budget)
            }
            [first, second] => {
                let both = [self.value(first)?, self.value(second)?];
                function::apply(called, &both, self.budget)
            }
            more => {
                let values: Result<Vec<_>, _> = more.iter().map(|argument| self.value(argument)).collect();
                function::apply(called, &values?, self.budget)
            }
        }
    }

    fn host(
        &mut self,
        slot: usize,
        arguments: &'v [Node],
        parameters: &[Type],
    ) -> Result<Value<'v>, Failure> {
        let values: Result<Vec<_>, _> = arguments.iter().map(|argument| self.value(argument)).collect();
        let values = values?;
        self.budget.charge(HOST_COST)?;
        for (value, parameter) in values.iter().zip(parameters) {
            if let Value::String(text) = value {
                self.budget.charge(text.len())?;
            }
            if !admits(parameter, value, self.budget)? {
                let message = format!("a function takes {parameter} here, and not {}", value.kind());
                return Err(Failure::Error(Cow::Owned(message)));
            }
        }
        self.activation.function(slot, &values)
    }

    fn select(&mut self, operand: &'v Node, field: &Value<'_>) -> Result<Value<'v>, Failure> {
        let map = self.value(operand)?;
        match compare::at_key(&map, field, self.budget)? {
            Some(value) => value.copy(self.budget),
            None => Err(no_such_key()),
        }
    }

    fn list(&mut self, nodes: &'v [Node]) -> Result<Value<'v>, Failure> {
        self.budget.charge(nodes.len() * size_of::<Value<'_>>())?;
        let values: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
        values.map(Value::from)
    }

    fn map(&mut self, nodes: &'v [(Node, Node)]) -> Result<Value<'v>, Failure> {
        let mut entries = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            entries.push((self.value(key)?, self.value(value)?));
        }
        map(entries, self.budget)
    }
}

/// An operator on two values.
pub(super) fn binary<'v>(
    operator: Operator,
    left: Value<'v>,
    right: Value<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, Failure> {
    let holds = match operator {
        Operator::Equal => compare::equal(&left, &right, budget)?,
        Operator::NotEqual => !compare::equal(&left, &right, budget)?,
        Operator::Less => compare::order(&left, &right, budget)? == Some(Ordering::Less),
        Operator::Greater => compare::order(&left, &right, budget)? == Some(Ordering::Greater),
        Operator::LessOrEqual => compare::order(&left, &right, budget)?.is_some_and(Ordering::is_le),
        Operator::GreaterOrEqual => compare::order(&left, &right, budget)?.is_some_and(Ordering::is_ge),
        Operator::In => compare::contains(&right, &left, budget)?,
        Operator::Index => return index(&left, &right, budget),
        Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Modulo => {
            return arithmetic::apply(operator, left, right, budget);
        }
    };
    Ok(Value::Bool(holds))
}

/// A map of the entries. `Err` where a key is given twice, or is of a type that no key has.
pub(super) fn map<'v>(
    entries: Vec<(Value<'v>, Value<'v>)>,
    budget: &mut Budget,
) -> Result<Value<'v>, Failure> {
    let comparisons = entries.len().checked_ilog2().map_or(1, |log| log as usize + 1);
    let mut keyed = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key = match key {
            Value::Bool(key) => Key::Bool(key),
            Value::Int(key) => Key::Int(key),
            Value::Uint(key) => Key::Uint(key),
            Value::String(key) => Key::String(key),
            _ => return Err(Failure::text("the keys of a map are strings, integers or booleans")),
        };
        // Sorting compares a key about so often.
        budget.charge(2 * size_of::<Value<'_>>() + comparisons * (1 + key.bytes()))?;
        keyed.push((key, value));
    }
    Map::new(keyed).map(Value::Map).ok_or(Failure::text("a key of the map is given twice"))
}

fn index<'v>(operand: &Value<'v>, index: &Value<'_>, budget: &mut Budget) -> Result<Value<'v>, Failure> {
    let found = match operand {
        Value::List(list) => {
            let position = match index {
                Value::Int(index) => usize::try_from(*index).ok(),
                Value::Uint(index) => usize::try_from(*index).ok(),
                Value::Double(index) => compare::whole(*index).and_then(|index| usize::try_from(index).ok()),
                _ => return Err(Failure::text("lists are indexed with integers")),
            };
            position
                .and_then(|position| list.values().get(position))
                .ok_or(Failure::text("the index is outside the list"))?
        }
        Value::Map(_) => compare::at_key(operand, index, budget)?.ok_or_else(no_such_key)?,
        _ => return Err(Failure::text("only lists and maps have an index")),
    };
    found.copy(budget)
}

/// Whether a value is of a type, as deep as the type says.
pub(super) fn admits(of: &Type, value: &Value<'_>, budget: &mut Budget) -> Result<bool, Failure> {
    match (of, value) {
        (Type::List(of), Value::List(list)) => {
            if **of == Type::Dyn {
                return Ok(true);
            }
            for value in list.values() {
                budget.charge(1)?;
                if !admits(of, value, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Type::Map(key_type, value_type), Value::Map(map)) => {
            for (key, value) in map.entries() {
                budget.charge(1)?;
                let key = match key {
                    Key::Bool(_) => Type::Bool,
                    Key::Int(_) => Type::Int,
                    Key::Uint(_) => Type::Uint,
                    Key::String(_) => Type::String,
                };
                let fits = **key_type == Type::Dyn || **key_type == key;
                if !fits || !admits(value_type, value, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Type::Dyn, _)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Null, Value::Null)
        | (Type::Type, Value::Type(_)) => Ok(true),
        _ => Ok(false),
    }
}

fn no_such_key() -> Failure {
    Failure::text("the map has no such key")
}
