//! A checked expression, as it is evaluated: names are slots, constants are values.

use super::calendar::{Part, Zone};
use super::environment::Type;
use super::function::Function;
use super::pattern::Pattern;
use super::syntax::{MacroKind, Operator};
use super::value::Value;

#[derive(Debug)]
pub(super) enum Node {
    Constant(Value<'static>),
    /// A variable of the activation.
    Variable(usize),
    /// A variable of a macro, by how many are around it.
    Local(usize),
    Select {
        operand: Box<Node>,
        field: Value<'static>,
    },
    Has {
        operand: Box<Node>,
        field: Value<'static>,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary {
        operator: Operator,
        sides: Box<[Node; 2]>,
    },
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Conditional(Box<[Node; 3]>),
    List(Box<[Node]>),
    Map(Box<[(Node, Node)]>),
    Call {
        function: Function,
        arguments: Box<[Node]>,
    },
    /// `matches` with a pattern that stands in the expression.
    Matches {
        text: Box<Node>,
        pattern: Box<Pattern>,
    },
    /// `getHours('Europe/Berlin')`
    PartIn {
        part: Part,
        time: Box<Node>,
        zone: Box<Zone>,
    },
    /// A function of the activation.
    Host {
        slot: usize,
        arguments: Box<[Node]>,
        parameters: Box<[Type]>,
    },
    Loop(Box<Loop>),
}

/// A macro over a list, or over the keys of a map.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) kind: MacroKind,
    pub(super) over: Node,
    pub(super) filter: Option<Node>,
    pub(super) body: Node,
}
