//! Nodes to values. Every step is charged before it is made; the recursion is no deeper than the expression is high.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::activation::Activation;
use super::arithmetic;
use super::budget::Budget;
use super::calendar;
use super::compare;
use super::environment::Type;
use super::fault::EvaluationError;
use super::function;
use super::node::ProgramNode;
use super::syntax::Operator;
use super::value::{Map, MapKey, Value};

mod repeat;

/// What it costs to find a zone's offset at a time.
const OFFSET_COST: usize = 16;

/// What a host's function costs beside its arguments.
const HOST_COST: usize = 16;

/// The value of a checked expression, which has to be of the type.
pub(super) fn evaluate<'v>(
    node: &'v ProgramNode,
    expected: &Type,
    activation: &'v dyn Activation<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, EvaluationError> {
    let mut evaluation = Evaluation { activation, budget, locals: Vec::new() };
    let value = evaluation.value(node)?;
    if admits(expected, &value, evaluation.budget)? {
        return Ok(value);
    }
    let message = format!("the expression yields {}, where {expected} is wanted", value.kind());
    Err(EvaluationError::Error(Cow::Owned(message)))
}

struct Evaluation<'v, 'b> {
    activation: &'v dyn Activation<'v>,
    budget: &'b mut Budget,
    /// The variables of the macros around, the outermost first.
    locals: Vec<Value<'v>>,
}

impl<'v> Evaluation<'v, '_> {
    fn value(&mut self, node: &'v ProgramNode) -> Result<Value<'v>, EvaluationError> {
        self.budget.charge(1)?;
        match node {
            ProgramNode::Constant(value) => Ok(value.borrowed()),
            ProgramNode::Variable(slot) => {
                let value = self.activation.variable(*slot)?;
                // Claims are made into a map each time that they are asked for.
                self.budget.charge(value.built())?;
                Ok(value)
            }
            ProgramNode::Local(index) => {
                let local = self.locals.get(*index).ok_or(EvaluationError::text("no such variable"))?;
                local.copy(self.budget)
            }
            ProgramNode::All(terms) => self.logic(terms, false),
            ProgramNode::Any(terms) => self.logic(terms, true),
            ProgramNode::Not(operand) => match self.value(operand)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                _ => Err(EvaluationError::text("`!` takes a boolean")),
            },
            ProgramNode::Negate(operand) => arithmetic::negate(&self.value(operand)?),
            ProgramNode::Conditional(parts) => self.conditional(parts),
            ProgramNode::Binary { operator, sides } => self.binary(*operator, sides),
            ProgramNode::Call { function, arguments } => self.call(*function, arguments),
            ProgramNode::Matches { text, pattern } => match self.value(text)? {
                Value::String(text) => pattern.is_found_in(&text, self.budget).map(Value::Bool),
                _ => Err(EvaluationError::text("`matches` takes a string")),
            },
            ProgramNode::PartIn { part, time, zone } => match self.value(time)? {
                Value::Timestamp(time) => self
                    .budget
                    .charge(OFFSET_COST)
                    .map(|()| Value::Int(calendar::part_of_time(*part, time, zone))),
                _ => Err(EvaluationError::text("only timestamps have a zone")),
            },
            ProgramNode::Select { operand, field } => self.select(operand, field),
            ProgramNode::Has { operand, field } => {
                let map = self.value(operand)?;
                Ok(Value::Bool(compare::at_key(&map, field, self.budget)?.is_some()))
            }
            ProgramNode::List(values) => self.list(values),
            ProgramNode::Map(entries) => self.map(entries),
            ProgramNode::Host { slot, arguments, parameters } => self.host(*slot, arguments, parameters),
            ProgramNode::Loop(found) => self.repeat(found),
        }
    }

    /// `&&` (decided by `false`) and `||` (decided by `true`): a term that decides wins over errors, on either side.
    fn logic(&mut self, terms: &'v [ProgramNode], deciding: bool) -> Result<Value<'v>, EvaluationError> {
        let mut failure = None;
        for term in terms {
            match self.value(term) {
                Ok(Value::Bool(value)) if value == deciding => return Ok(Value::Bool(deciding)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    failure.get_or_insert(EvaluationError::text("`&&` and `||` join booleans"));
                }
                Err(EvaluationError::Budget) => return Err(EvaluationError::Budget),
                Err(other) => {
                    failure.get_or_insert(other);
                }
            }
        }
        failure.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn conditional(
        &mut self,
        [condition, first, second]: &'v [ProgramNode; 3],
    ) -> Result<Value<'v>, EvaluationError> {
        match self.value(condition)? {
            Value::Bool(true) => self.value(first),
            Value::Bool(false) => self.value(second),
            _ => Err(EvaluationError::text("`?` takes a boolean")),
        }
    }

    fn binary(
        &mut self,
        operator: Operator,
        [left, right]: &'v [ProgramNode; 2],
    ) -> Result<Value<'v>, EvaluationError> {
        let left = self.value(left)?;
        let right = self.value(right)?;
        binary(operator, left, right, self.budget)
    }

    /// Most functions take one or two arguments: those need no vector.
    fn call(
        &mut self,
        called: function::Function,
        arguments: &'v [ProgramNode],
    ) -> Result<Value<'v>, EvaluationError> {
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
        arguments: &'v [ProgramNode],
        parameters: &[Type],
    ) -> Result<Value<'v>, EvaluationError> {
        let values: Result<Vec<_>, _> = arguments.iter().map(|argument| self.value(argument)).collect();
        let values = values?;
        self.budget.charge(HOST_COST)?;
        for (value, parameter) in values.iter().zip(parameters) {
            if let Value::String(text) = value {
                self.budget.charge(text.len())?;
            }
            if !admits(parameter, value, self.budget)? {
                let message = format!("a function takes {parameter} here, and not {}", value.kind());
                return Err(EvaluationError::Error(Cow::Owned(message)));
            }
        }
        self.activation.function(slot, &values)
    }

    fn select(&mut self, operand: &'v ProgramNode, field: &Value<'_>) -> Result<Value<'v>, EvaluationError> {
        let map = self.value(operand)?;
        match compare::at_key(&map, field, self.budget)? {
            Some(value) => value.copy(self.budget),
            None => Err(no_such_key()),
        }
    }

    fn list(&mut self, nodes: &'v [ProgramNode]) -> Result<Value<'v>, EvaluationError> {
        self.budget.charge(nodes.len() * size_of::<Value<'_>>())?;
        let values: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
        values.map(Value::from)
    }

    fn map(&mut self, nodes: &'v [(ProgramNode, ProgramNode)]) -> Result<Value<'v>, EvaluationError> {
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
) -> Result<Value<'v>, EvaluationError> {
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
) -> Result<Value<'v>, EvaluationError> {
    let comparisons = entries.len().checked_ilog2().map_or(1, |log| log as usize + 1);
    let mut keyed = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key = match key {
            Value::Bool(key) => MapKey::Bool(key),
            Value::Int(key) => MapKey::Int(key),
            Value::Uint(key) => MapKey::Uint(key),
            Value::String(key) => MapKey::String(key),
            _ => return Err(EvaluationError::text("the keys of a map are strings, integers or booleans")),
        };
        // Sorting compares a key about so often.
        budget.charge(2 * size_of::<Value<'_>>() + comparisons * (1 + key.bytes()))?;
        keyed.push((key, value));
    }
    Map::new(keyed).map(Value::Map).ok_or(EvaluationError::text("a key of the map is given twice"))
}

fn index<'v>(
    operand: &Value<'v>,
    index: &Value<'_>,
    budget: &mut Budget,
) -> Result<Value<'v>, EvaluationError> {
    let found = match operand {
        Value::List(list) => {
            let position = match index {
                Value::Int(index) => usize::try_from(*index).ok(),
                Value::Uint(index) => usize::try_from(*index).ok(),
                Value::Double(index) => compare::whole(*index).and_then(|index| usize::try_from(index).ok()),
                _ => return Err(EvaluationError::text("lists are indexed with integers")),
            };
            position
                .and_then(|position| list.values().get(position))
                .ok_or(EvaluationError::text("the index is outside the list"))?
        }
        Value::Map(_) => compare::at_key(operand, index, budget)?.ok_or_else(no_such_key)?,
        _ => return Err(EvaluationError::text("only lists and maps have an index")),
    };
    found.copy(budget)
}

/// Whether a value is of a type, as deep as the type says.
pub(super) fn admits(of: &Type, value: &Value<'_>, budget: &mut Budget) -> Result<bool, EvaluationError> {
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
                    MapKey::Bool(_) => Type::Bool,
                    MapKey::Int(_) => Type::Int,
                    MapKey::Uint(_) => Type::Uint,
                    MapKey::String(_) => Type::String,
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

fn no_such_key() -> EvaluationError {
    EvaluationError::text("the map has no such key")
}
