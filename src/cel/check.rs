//! Types: the types of the parts of an expression, and whether they fit together. All faults are found, not only the
//! first.

use std::collections::BTreeSet;
use std::ops::Range;

use super::budget::Budget;
use super::environment::{Environment, Type};
use super::evaluate;
use super::fault::CompileError;
use super::node::{Loop, ProgramNode};
use super::syntax::{Expression, Macro, MacroKind, Operator, Syntax};
use super::value::Value;

mod call;
mod literal;
mod name;
mod operator;

/// The most work for constants at load; what costs more is left to the evaluation, and counted there.
const FOLDING: u64 = 500_000;

/// A checked expression.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) root: ProgramNode,
    pub(super) variables: BTreeSet<usize>,
    pub(super) functions: BTreeSet<usize>,
}

/// Checks an expression, and replaces names by slots and constants by their values.
pub(super) fn check(
    expression: &Expression,
    environment: &Environment,
    expected: &Type,
) -> Result<Checked, Vec<CompileError>> {
    let mut checker = Checker {
        environment,
        faults: Vec::new(),
        scopes: Vec::new(),
        folding: Budget::new(FOLDING),
        variables: BTreeSet::new(),
        functions: BTreeSet::new(),
    };
    let root = checker.typed(expression);
    if !root.of.fits(expected) {
        let message = format!("the expression yields {}, where {expected} is wanted", root.of);
        let help = match expected {
            Type::Bool => "compare it with something, so that it is true or false".to_owned(),
            other => format!("write an expression of type {other}"),
        };
        checker.faults.push(CompileError::new(expression.range.clone(), message, help));
    }
    if checker.faults.is_empty() {
        Ok(Checked { root: root.node, variables: checker.variables, functions: checker.functions })
    } else {
        checker.faults.sort_by_key(|fault| fault.range.start);
        Err(checker.faults)
    }
}

struct Checker<'e> {
    environment: &'e Environment,
    faults: Vec<CompileError>,
    /// The variables of the macros around, the outermost first.
    scopes: Vec<(String, Type)>,
    folding: Budget,
    variables: BTreeSet<usize>,
    functions: BTreeSet<usize>,
}

/// A node and its type.
struct Typed {
    node: ProgramNode,
    of: Type,
}

impl Typed {
    fn new(node: ProgramNode, of: Type) -> Self {
        Self { node, of }
    }

    /// The type of a part with a fault: it fits everywhere, so that one mistake is reported once.
    fn faulty() -> Self {
        Self::new(ProgramNode::Constant(Value::Null), Type::Dyn)
    }

    fn constant(&self) -> Option<&Value<'static>> {
        match &self.node {
            ProgramNode::Constant(value) => Some(value),
            _ => None,
        }
    }
}

impl Checker<'_> {
    fn typed(&mut self, expression: &Expression) -> Typed {
        let range = &expression.range;
        match &expression.kind {
            Syntax::Literal(value) => Typed::new(ProgramNode::Constant(value.clone()), literal_type(value)),
            Syntax::Name { .. } | Syntax::Select { .. } => self.name_or_field(expression),
            Syntax::Has { operand, field } => {
                let operand = self.typed(operand);
                self.field_of(&operand.of, field);
                let field = Value::String(field.name.clone().into());
                Typed::new(ProgramNode::Has { operand: Box::new(operand.node), field }, Type::Bool)
            }
            Syntax::Call { target, function, name, arguments } => {
                self.call(range, target.as_deref(), function, name, arguments)
            }
            Syntax::Not(operand) => {
                let node = self.boolean(operand, "`!` takes a condition");
                Typed::new(ProgramNode::Not(Box::new(node)), Type::Bool)
            }
            Syntax::Negate(operand) => self.negative(operand),
            Syntax::Binary { operator, sides } => self.binary(range, *operator, sides),
            Syntax::All(terms) => {
                Typed::new(ProgramNode::All(self.terms(terms, "`&&` joins conditions")), Type::Bool)
            }
            Syntax::Any(terms) => {
                Typed::new(ProgramNode::Any(self.terms(terms, "`||` joins conditions")), Type::Bool)
            }
            Syntax::Conditional(parts) => self.conditional(parts),
            Syntax::List(values) => self.list(values),
            Syntax::Map(entries) => self.map(range, entries),
            Syntax::Macro(found) => self.repeat(found),
        }
    }

    fn fault(&mut self, range: &Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Typed {
        self.faults.push(CompileError::new(range.clone(), message, help));
        Typed::faulty()
    }

    /// A part that has to be true or false.
    fn boolean(&mut self, expression: &Expression, place: &str) -> ProgramNode {
        let typed = self.typed(expression);
        if !typed.of.fits(&Type::Bool) {
            let message = format!("{place}, and this is {}", typed.of.with_article());
            self.fault(&expression.range, message, "compare it with something, so that it is true or false");
        }
        typed.node
    }

    fn terms(&mut self, terms: &[Expression], place: &str) -> Box<[ProgramNode]> {
        terms.iter().map(|term| self.boolean(term, place)).collect()
    }

    fn conditional(&mut self, [condition, first, second]: &[Expression; 3]) -> Typed {
        let condition = self.boolean(condition, "before `?` stands a condition");
        let first = self.typed(first);
        let typed = self.typed(second);
        if !first.of.fits(&typed.of) {
            let message =
                format!("this is {}, and the other value of `?` is {}", typed.of.with_article(), first.of);
            return self.fault(&second.range, message, "both values have one type: convert one of them");
        }
        let of = first.of.join(typed.of);
        Typed::new(ProgramNode::Conditional(Box::new([condition, first.node, typed.node])), of)
    }

    fn list(&mut self, values: &[Expression]) -> Typed {
        let values: Vec<Typed> = values.iter().map(|value| self.typed(value)).collect();
        let of = Type::list(joined(values.iter().map(|value| &value.of)));
        if let Some(constants) = constants(&values)
            && self.folding.charge(values.len() * size_of::<Value<'_>>()).is_ok()
        {
            return Typed::new(ProgramNode::Constant(Value::from(constants)), of);
        }
        Typed::new(ProgramNode::List(values.into_iter().map(|value| value.node).collect()), of)
    }

    fn map(&mut self, range: &Range<usize>, entries: &[(Expression, Expression)]) -> Typed {
        let mut keys = Vec::with_capacity(entries.len());
        let mut values = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let typed = self.typed(key);
            if !matches!(typed.of, Type::Bool | Type::Int | Type::Uint | Type::String | Type::Dyn) {
                let message = format!("{} cannot be a key", typed.of.with_article());
                self.fault(&key.range, message, "the keys of a map are strings, integers or booleans");
            }
            keys.push(typed);
            values.push(self.typed(value));
        }
        let types = (keys.iter().map(|key| &key.of), values.iter().map(|value| &value.of));
        let of = Type::map(joined(types.0), joined(types.1));
        if let (Some(keys), Some(values)) = (constants(&keys), constants(&values)) {
            match evaluate::map(keys.into_iter().zip(values).collect(), &mut self.folding) {
                Ok(map) => return Typed::new(ProgramNode::Constant(map), of),
                Err(super::EvaluationError::Error(reason)) if self.faults.is_empty() => {
                    return self.fault(range, reason, "write each key once; `1` and `1u` are one key");
                }
                // Too large to be evaluated here, or reported already.
                Err(_) => {}
            }
        }
        let nodes = keys.into_iter().zip(values).map(|(key, value)| (key.node, value.node)).collect();
        Typed::new(ProgramNode::Map(nodes), of)
    }

    fn repeat(&mut self, found: &Macro) -> Typed {
        let over = self.typed(&found.over);
        let item = match over.of {
            Type::List(item) => *item,
            Type::Map(key, _) => *key,
            Type::Dyn => Type::Dyn,
            other => {
                let message = format!("{} has no values to go through", other.with_article());
                self.fault(
                    &found.over.range,
                    message,
                    "macros go through lists, and through the keys of maps",
                );
                Type::Dyn
            }
        };
        self.scopes.push((found.variable.clone(), item.clone()));
        let place = "the expression of a macro is a condition";
        let filter = found.filter.as_ref().map(|filter| self.boolean(filter, place));
        let (body, of) = match found.kind {
            MacroKind::All | MacroKind::Exists | MacroKind::ExistsOne => {
                (self.boolean(&found.body, place), Type::Bool)
            }
            MacroKind::Filter => (self.boolean(&found.body, place), Type::list(item)),
            MacroKind::Map => {
                let body = self.typed(&found.body);
                (body.node, Type::list(body.of))
            }
        };
        self.scopes.pop();
        Typed::new(ProgramNode::Loop(Box::new(Loop { kind: found.kind, over: over.node, filter, body })), of)
    }

    /// The operator's value on constants, or its node.
    fn folded(&mut self, operator: Operator, left: Typed, right: Typed, of: Type) -> Typed {
        if let (Some(left), Some(right)) = (left.constant(), right.constant())
            && let Ok(value) = evaluate::binary(operator, left.clone(), right.clone(), &mut self.folding)
        {
            return Typed::new(ProgramNode::Constant(value), of);
        }
        Typed::new(ProgramNode::Binary { operator, sides: Box::new([left.node, right.node]) }, of)
    }
}

/// The values, where all of them are constants.
fn constants(parts: &[Typed]) -> Option<Vec<Value<'static>>> {
    parts.iter().map(|part| part.constant().cloned()).collect()
}

/// The type that all of them have.
fn joined<'t>(mut types: impl Iterator<Item = &'t Type>) -> Type {
    let Some(first) = types.next() else { return Type::Dyn };
    types.fold(first.clone(), |joined, of| joined.join(of.clone()))
}

fn literal_type(value: &Value<'_>) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::String(_) => Type::String,
        Value::Bytes(_) => Type::Bytes,
        Value::Null => Type::Null,
        // No other value is written as a literal.
        _ => Type::Dyn,
    }
}
