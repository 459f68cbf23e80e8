//! A checked expression, as it is evaluated: names are slots, constants are values.

use super::calendar::{TimePart, Zone};
use super::environment::Type;
use super::function::Function;
use super::pattern::MatchPattern;
use super::syntax::{MacroKind, Operator};
use super::value::Value;

#[derive(Debug)]
pub(super) enum ProgramNode {
    Constant(Value<'static>),
    /// A variable of the activation.
    Variable(usize),
    /// A variable of a macro, by how many are around it.
    Local(usize),
    Select {
        operand: Box<ProgramNode>,
        field: Value<'static>,
    },
    Has {
        operand: Box<ProgramNode>,
        field: Value<'static>,
    },
    Not(Box<ProgramNode>),
    Negate(Box<ProgramNode>),
    Binary {
        operator: Operator,
        sides: Box<[ProgramNode; 2]>,
    },
    All(Box<[ProgramNode]>),
    Any(Box<[ProgramNode]>),
    Conditional(Box<[ProgramNode; 3]>),
    List(Box<[ProgramNode]>),
    Map(Box<[(ProgramNode, ProgramNode)]>),
    Call {
        function: Function,
        arguments: Box<[ProgramNode]>,
    },
    /// `matches` with a pattern that stands in the expression.
    Matches {
        text: Box<ProgramNode>,
        pattern: Box<MatchPattern>,
    },
    /// `getHours('Europe/Berlin')`
    PartIn {
        part: TimePart,
        time: Box<ProgramNode>,
        zone: Box<Zone>,
    },
    /// A function of the activation.
    Host {
        slot: usize,
        arguments: Box<[ProgramNode]>,
        parameters: Box<[Type]>,
    },
    Loop(Box<Loop>),
}

/// A macro over a list, or over the keys of a map.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) kind: MacroKind,
    pub(super) over: ProgramNode,
    pub(super) filter: Option<ProgramNode>,
    pub(super) body: ProgramNode,
}
