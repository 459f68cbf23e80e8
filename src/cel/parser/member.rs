//! Values and what follows them: literals, names, lists, maps, fields, calls, indexes, macros.

use std::ops::Range;

use super::{ExpressionParser, node, too_large};
use crate::cel::fault::CompileError;
use crate::cel::lexer::TokenKind;
use crate::cel::syntax::{Expression, Field, Macro, MacroKind, Operator, Syntax};
use crate::cel::value::Value;

const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
const KEYWORDS: &[&str] = &["true", "false", "null", "in"];
const MACROS: &[&str] = &["all", "exists", "exists_one", "existsOne", "filter", "map"];

impl ExpressionParser<'_> {
    pub(super) fn member(&mut self) -> Result<Expression, CompileError> {
        let primary = self.primary()?;
        self.postfix(primary)
    }

    /// Fields, calls and indexes after a value.
    pub(super) fn postfix(&mut self, mut operand: Expression) -> Result<Expression, CompileError> {
        loop {
            let start = operand.range.start;
            if self.take(".")? {
                let field = self.field()?;
                operand = if !field.quoted && self.at("(") {
                    let arguments = self.arguments()?;
                    self.call(Some(operand), field.name, field.range, arguments)?
                } else {
                    let operand = Box::new(operand);
                    node(start..self.before, Syntax::Select { operand, field })?
                };
            } else if self.take("[")? {
                let index = self.expression()?;
                self.expect("]", "the end of the index")?;
                let sides = Box::new([operand, index]);
                operand = node(start..self.before, Syntax::Binary { operator: Operator::Index, sides })?;
            } else if self.at("{") && operand.dotted().is_some() {
                let help = "compare fields one by one; lists are `[…]` and maps are `{key: value}`";
                return Err(CompileError::new(operand.range, "messages are not supported", help));
            } else {
                return Ok(operand);
            }
        }
    }

    fn field(&mut self) -> Result<Field, CompileError> {
        let range = self.current.range.clone();
        let (name, quoted) = match &self.current.kind {
            TokenKind::Word(word) if !KEYWORDS.contains(&word.as_str()) => (word.clone(), false),
            TokenKind::Quoted(name) => (name.clone(), true),
            _ => return Err(self.unexpected("the name of a field or function")),
        };
        self.advance()?;
        Ok(Field { name, range, quoted })
    }

    fn primary(&mut self) -> Result<Expression, CompileError> {
        let token = self.current.clone();
        let range = token.range.clone();
        let literal = match token.kind {
            TokenKind::Int(magnitude) => {
                Value::Int(i64::try_from(magnitude).map_err(|_| too_large(range.clone()))?)
            }
            TokenKind::Uint(value) => Value::Uint(value),
            TokenKind::Double(value) => Value::Double(value),
            TokenKind::String(text) => Value::String(text.into()),
            TokenKind::Bytes(bytes) => Value::Bytes(bytes.into()),
            TokenKind::Word(word) => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => return self.name(false),
            },
            TokenKind::Symbol("(") => {
                self.advance()?;
                let mut inner = self.expression()?;
                self.expect(")", "the closing bracket")?;
                // The brackets belong to it where it is underlined.
                inner.range = range.start..self.before;
                return Ok(inner);
            }
            TokenKind::Symbol("[") => {
                let values = self.list("[", "]")?;
                return node(range.start..self.before, Syntax::List(values));
            }
            TokenKind::Symbol("{") => return self.map(),
            TokenKind::Symbol(".") => {
                self.advance()?;
                return self.name(true);
            }
            TokenKind::Quoted(_) | TokenKind::Symbol(_) | TokenKind::End => {
                return Err(self.unexpected("a value"));
            }
        };
        self.advance()?;
        node(range, Syntax::Literal(literal))
    }

    /// A name, or a call of a function by its name.
    fn name(&mut self, absolute: bool) -> Result<Expression, CompileError> {
        let range = self.current.range.clone();
        let start = if absolute { self.before.saturating_sub(1) } else { range.start };
        let name = match &self.current.kind {
            TokenKind::Word(word) if RESERVED.contains(&word.as_str()) => {
                let help = "CEL keeps this word for itself: the names of attributes are never reserved words";
                return Err(CompileError::new(range, format!("`{word}` is a reserved word"), help));
            }
            TokenKind::Word(word) if !KEYWORDS.contains(&word.as_str()) => word.clone(),
            _ => return Err(self.unexpected("a value")),
        };
        self.advance()?;
        if self.at("(") {
            let arguments = self.arguments()?;
            return self.call(None, name, range, arguments);
        }
        node(start..range.end, Syntax::Name { name, absolute })
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, CompileError> {
        self.expect("(", "the arguments")?;
        let mut arguments = Vec::new();
        while !self.take(")")? {
            if !arguments.is_empty() {
                self.expect(",", "`,` or `)` after an argument")?;
            }
            arguments.push(self.expression()?);
        }
        Ok(arguments)
    }

    fn list(
        &mut self,
        opening: &'static str,
        closing: &'static str,
    ) -> Result<Vec<Expression>, CompileError> {
        self.expect(opening, "a list")?;
        let mut values = Vec::new();
        while !self.take(closing)? {
            values.push(self.expression()?);
            if !self.take(",")? && !self.at(closing) {
                return Err(self.unexpected("`,` or the end of the list"));
            }
        }
        Ok(values)
    }

    fn map(&mut self) -> Result<Expression, CompileError> {
        let start = self.current.range.start;
        self.advance()?;
        let mut entries = Vec::new();
        while !self.take("}")? {
            let key = self.expression()?;
            self.expect(":", "`:` between key and value")?;
            entries.push((key, self.expression()?));
            if !self.take(",")? && !self.at("}") {
                return Err(self.unexpected("`,` or the end of the map"));
            }
        }
        node(start..self.before, Syntax::Map(entries))
    }

    /// A call, unless it is a macro.
    fn call(
        &mut self,
        target: Option<Expression>,
        function: String,
        name: Range<usize>,
        mut arguments: Vec<Expression>,
    ) -> Result<Expression, CompileError> {
        let Some(over) = target else {
            let range = name.start..self.before;
            if function == "has" {
                return has(range, arguments);
            }
            return node(range, Syntax::Call { target: None, function, name, arguments });
        };
        let range = over.range.start..self.before;
        let Some(kind) = MacroKind::of(&function, arguments.len()) else {
            if MACROS.contains(&function.as_str()) {
                let help = format!("write `list.{function}(item, …)`, with an expression of `item`");
                return Err(CompileError::new(
                    name,
                    format!("`{function}` takes a name and an expression"),
                    help,
                ));
            }
            let target = Some(Box::new(over));
            return node(range, Syntax::Call { target, function, name, arguments });
        };
        let body = arguments.pop();
        let filter = if arguments.len() == 2 { arguments.pop() } else { None };
        match (arguments.pop(), body) {
            (Some(Expression { kind: Syntax::Name { name: variable, absolute: false }, .. }), Some(body)) => {
                node(range, Syntax::Macro(Box::new(Macro { kind, over, variable, filter, body })))
            }
            (first, _) => {
                let place = first.map_or(name, |first| first.range);
                let message =
                    format!("the first argument of `{function}` is the name for a value of the list");
                Err(CompileError::new(
                    place,
                    message,
                    format!("write `list.{function}(item, …)`, with any name"),
                ))
            }
        }
    }
}

/// `has(a.b)`: whether the field is there.
fn has(range: Range<usize>, mut arguments: Vec<Expression>) -> Result<Expression, CompileError> {
    let only = if arguments.len() == 1 { arguments.pop() } else { None };
    match only.map(|argument| argument.kind) {
        Some(Syntax::Select { operand, field }) => node(range, Syntax::Has { operand, field }),
        _ => Err(CompileError::new(range, "`has` asks for one field", "write `has(map.field)`")),
    }
}
