//! The tree of an expression as it was written.

use std::ops::Range;

use super::value::Value;

/// A part of an expression.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) kind: Syntax,
    /// Where it is written.
    pub(super) range: Range<usize>,
    /// Levels of parts below it and itself; bounded, since everything after the parser recurses.
    pub(super) height: usize,
}

#[derive(Debug)]
pub(super) enum Syntax {
    Literal(Value<'static>),
    /// A name; `.name` says that no variable of a macro is meant.
    Name {
        name: String,
        absolute: bool,
    },
    Select {
        operand: Box<Expression>,
        field: Field,
    },
    /// `has(operand.field)`
    Has {
        operand: Box<Expression>,
        field: Field,
    },
    Call {
        target: Option<Box<Expression>>,
        function: String,
        /// Where the function's name is written.
        name: Range<usize>,
        arguments: Vec<Expression>,
    },
    Not(Box<Expression>),
    Negate(Box<Expression>),
    Binary {
        operator: Operator,
        sides: Box<[Expression; 2]>,
    },
    /// Any number of terms: a long chain is not a deep tree.
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Conditional(Box<[Expression; 3]>),
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    Macro(Box<Macro>),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) range: Range<usize>,
    /// In backticks: never a part of a dotted name.
    pub(super) quoted: bool,
}

/// `list.exists(variable, body)` and its kind.
#[derive(Debug)]
pub(super) struct Macro {
    pub(super) kind: MacroKind,
    pub(super) over: Expression,
    pub(super) variable: String,
    /// Which values `map` with three arguments takes.
    pub(super) filter: Option<Expression>,
    pub(super) body: Expression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacroKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Index,
}

impl Operator {
    /// As it is written.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Index => "[]",
        }
    }
}

impl MacroKind {
    pub(super) fn of(name: &str, arguments: usize) -> Option<Self> {
        match (name, arguments) {
            ("all", 2) => Some(Self::All),
            ("exists", 2) => Some(Self::Exists),
            ("exists_one" | "existsOne", 2) => Some(Self::ExistsOne),
            ("filter", 2) => Some(Self::Filter),
            ("map", 2 | 3) => Some(Self::Map),
            _ => None,
        }
    }
}

impl Expression {
    /// The dotted name it is, if it is one: `resource.name`, and whether it starts with a dot.
    pub(super) fn dotted(&self) -> Option<(Vec<&str>, bool)> {
        let mut parts = Vec::new();
        let mut part = self;
        loop {
            match &part.kind {
                Syntax::Select { operand, field } if !field.quoted => {
                    parts.push(field.name.as_str());
                    part = operand;
                }
                Syntax::Name { name, absolute } => {
                    parts.push(name);
                    parts.reverse();
                    return Some((parts, *absolute));
                }
                _ => return None,
            }
        }
    }
}
