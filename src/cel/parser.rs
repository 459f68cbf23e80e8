//! Tokens to a tree, by recursive descent with a bound on the depth of both.

use std::ops::Range;

use super::fault::CompileError;
use super::lexer::{Lexeme, Lexer, TokenKind};
use super::syntax::{Expression, Operator, Syntax};
use super::value::Value;

/// Levels of brackets, and of the tree. Recursion over a tree of this height stays far below the stack of a thread.
pub(super) const MAX_DEPTH: usize = 48;

/// Levels of operators, the weakest first. All are read from the left.
const OR: u8 = 1;
const AND: u8 = 2;
const RELATION: u8 = 3;
const SUM: u8 = 4;
const PRODUCT: u8 = 5;

mod member;

/// The tree, and how many `&&`, `||` and `!` it holds.
pub(super) fn parse(text: &str) -> Result<(Expression, usize), CompileError> {
    let mut lexer = Lexer::new(text);
    let current = lexer.token()?;
    let mut parser = ExpressionParser { lexer, current, before: 0, depth: 0, logic_operators: 0 };
    let expression = parser.expression()?;
    match parser.current.kind {
        TokenKind::End => Ok((expression, parser.logic_operators)),
        _ => Err(parser.unexpected("an operator or the end of the expression")),
    }
}

struct ExpressionParser<'t> {
    lexer: Lexer<'t>,
    current: Lexeme,
    /// Where the last token ended.
    before: usize,
    depth: usize,
    logic_operators: usize,
}

impl ExpressionParser<'_> {
    fn expression(&mut self) -> Result<Expression, CompileError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(too_deep(self.current.range.clone()));
        }
        let condition = self.operation(OR)?;
        let expression = if self.take("?")? {
            let first = self.operation(OR)?;
            self.expect(":", "the other value of `?`")?;
            let second = self.expression()?;
            let range = condition.range.start..second.range.end;
            node(range, Syntax::Conditional(Box::new([condition, first, second])))?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expression)
    }

    /// Operators of at least a level, by precedence climbing: one frame for all levels keeps the stack low.
    fn operation(&mut self, least: u8) -> Result<Expression, CompileError> {
        let mut left = self.unary()?;
        while let Some((level, operator)) = self.operator() {
            if level < least {
                break;
            }
            let Some(operator) = operator else {
                left = self.terms(left, level)?;
                continue;
            };
            self.advance()?;
            let right = self.operation(level + 1)?;
            let range = left.range.start..right.range.end;
            left = node(range, Syntax::Binary { operator, sides: Box::new([left, right]) })?;
        }
        Ok(left)
    }

    /// The terms that follow the first, joined by `||` or by `&&`.
    fn terms(&mut self, first: Expression, level: u8) -> Result<Expression, CompileError> {
        let symbol = if level == OR { "||" } else { "&&" };
        let start = first.range.start;
        let mut terms = vec![first];
        while self.take(symbol)? {
            self.logic_operators += 1;
            terms.push(self.operation(level + 1)?);
        }
        node(start..self.before, if level == OR { Syntax::Any(terms) } else { Syntax::All(terms) })
    }

    /// The operator that comes next, with its level; none of the tree's own for `||` and `&&`.
    fn operator(&self) -> Option<(u8, Option<Operator>)> {
        let (level, operator) = match &self.current.kind {
            TokenKind::Word(word) if word == "in" => (RELATION, Operator::In),
            TokenKind::Symbol(symbol) => match *symbol {
                "||" => return Some((OR, None)),
                "&&" => return Some((AND, None)),
                "==" => (RELATION, Operator::Equal),
                "!=" => (RELATION, Operator::NotEqual),
                "<" => (RELATION, Operator::Less),
                "<=" => (RELATION, Operator::LessOrEqual),
                ">" => (RELATION, Operator::Greater),
                ">=" => (RELATION, Operator::GreaterOrEqual),
                "+" => (SUM, Operator::Add),
                "-" => (SUM, Operator::Subtract),
                "*" => (PRODUCT, Operator::Multiply),
                "/" => (PRODUCT, Operator::Divide),
                "%" => (PRODUCT, Operator::Modulo),
                _ => return None,
            },
            _ => return None,
        };
        Some((level, Some(operator)))
    }

    /// `!` and `-` do not mix without brackets: so CEL's grammar has it.
    fn unary(&mut self) -> Result<Expression, CompileError> {
        let symbol = match self.current.kind {
            TokenKind::Symbol(symbol @ ("!" | "-")) => symbol,
            _ => return self.member(),
        };
        let mut starts = Vec::new();
        while self.at(symbol) {
            starts.push(self.current.range.start);
            if starts.len() > MAX_DEPTH {
                return Err(too_deep(self.current.range.clone()));
            }
            self.advance()?;
        }
        let mut expression = match self.current.kind {
            // The sign belongs to the number: 2^63 is one only with it.
            TokenKind::Int(magnitude) if symbol == "-" => {
                let start = starts.pop().unwrap_or_default();
                let range = start..self.current.range.end;
                let value = 0_i64.checked_sub_unsigned(magnitude).ok_or_else(|| too_large(range.clone()))?;
                self.advance()?;
                let literal = node(range, Syntax::Literal(Value::Int(value)))?;
                self.postfix(literal)?
            }
            _ => self.member()?,
        };
        for start in starts.into_iter().rev() {
            let range = start..expression.range.end;
            let operand = Box::new(expression);
            if symbol == "!" {
                self.logic_operators += 1;
            }
            expression =
                node(range, if symbol == "!" { Syntax::Not(operand) } else { Syntax::Negate(operand) })?;
        }
        Ok(expression)
    }

    fn at(&self, symbol: &'static str) -> bool {
        self.current.kind == TokenKind::Symbol(symbol)
    }

    fn take(&mut self, symbol: &'static str) -> Result<bool, CompileError> {
        let found = self.at(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, symbol: &'static str, what: &str) -> Result<(), CompileError> {
        if self.take(symbol)? { Ok(()) } else { Err(self.unexpected(what)) }
    }

    fn advance(&mut self) -> Result<(), CompileError> {
        self.before = self.current.range.end;
        self.current = self.lexer.token()?;
        Ok(())
    }

    fn unexpected(&self, wanted: &str) -> CompileError {
        let range = self.current.range.clone();
        let found = match &self.current.kind {
            TokenKind::End => {
                return CompileError::new(
                    range,
                    format!("expected {wanted}"),
                    "the expression ends too early",
                );
            }
            TokenKind::Word(word) => format!("`{word}`"),
            TokenKind::Quoted(name) => format!("`{name}` in backticks"),
            TokenKind::Symbol(symbol) => format!("`{symbol}`"),
            TokenKind::String(_) | TokenKind::Bytes(_) => "a string".to_owned(),
            TokenKind::Int(_) | TokenKind::Uint(_) | TokenKind::Double(_) => "a number".to_owned(),
        };
        let help = match &self.current.kind {
            TokenKind::Word(word) if word.eq_ignore_ascii_case("and") => "and is written `&&`",
            TokenKind::Word(word) if word.eq_ignore_ascii_case("or") => "or is written `||`",
            TokenKind::Word(word) if word.eq_ignore_ascii_case("not") => "not is written `!`",
            TokenKind::Symbol(")" | "]" | "}") => "there is a bracket too many, or one is missing before it",
            TokenKind::Quoted(_) => "only fields may stand in backticks; strings stand in quotes",
            _ => "look for a missing operator, quote or bracket before it",
        };
        CompileError::new(range, format!("expected {wanted}, found {found}"), help)
    }
}

/// A part of the tree, unless that grows too high.
fn node(range: Range<usize>, kind: Syntax) -> Result<Expression, CompileError> {
    let below = match &kind {
        Syntax::Literal(_) | Syntax::Name { .. } => 0,
        Syntax::Select { operand, .. } | Syntax::Has { operand, .. } => operand.height,
        Syntax::Not(operand) | Syntax::Negate(operand) => operand.height,
        Syntax::Call { target, arguments, .. } => {
            highest(arguments).max(target.as_ref().map_or(0, |target| target.height))
        }
        Syntax::Binary { sides, .. } => highest(sides.as_slice()),
        Syntax::Conditional(parts) => highest(parts.as_slice()),
        Syntax::All(parts) | Syntax::Any(parts) | Syntax::List(parts) => highest(parts),
        Syntax::Map(entries) => {
            entries.iter().map(|(key, value)| key.height.max(value.height)).max().unwrap_or_default()
        }
        Syntax::Macro(found) => {
            let filter = found.filter.as_ref().map_or(0, |filter| filter.height);
            found.over.height.max(found.body.height).max(filter)
        }
    };
    if below >= MAX_DEPTH {
        return Err(too_deep(range));
    }
    Ok(Expression { kind, range, height: below + 1 })
}

fn highest(parts: &[Expression]) -> usize {
    parts.iter().map(|part| part.height).max().unwrap_or_default()
}

fn too_deep(range: Range<usize>) -> CompileError {
    let help = format!("at most {MAX_DEPTH} levels can be nested: split it into several conditions");
    CompileError::new(range, "the expression is nested too deeply", help)
}

fn too_large(range: Range<usize>) -> CompileError {
    let help = "an int has 64 bits with a sign; write `u` after it for an unsigned one";
    CompileError::new(range, "the number is too large", help)
}
