//! Macros over lists and over the keys of maps: `all`, `exists`, `exists_one`, `filter`, `map`.

use super::Evaluation;
use crate::cel::budget::Budget;
use crate::cel::fault::EvaluationError;
use crate::cel::node::{Loop, ProgramNode};
use crate::cel::syntax::MacroKind;
use crate::cel::value::{List, Map, Value};

/// What is gone through.
enum Items<'v> {
    /// A list that stands in the expression: its strings are borrowed from there.
    Literal(&'v [Value<'static>]),
    List(List<'v>),
    Keys(Map<'v>),
}

impl<'v> Items<'v> {
    fn item(&self, position: usize, budget: &mut Budget) -> Result<Option<Value<'v>>, EvaluationError> {
        budget.charge(1)?;
        match self {
            Self::Literal(values) => Ok(values.get(position).map(Value::borrowed)),
            Self::List(list) => list.values().get(position).map(|value| value.copy(budget)).transpose(),
            Self::Keys(map) => match map.entries().get(position) {
                Some((key, _)) => {
                    budget.charge(size_of::<Value<'_>>() + key.bytes())?;
                    Ok(Some(key.to_value()))
                }
                None => Ok(None),
            },
        }
    }
}

impl<'v> Evaluation<'v, '_> {
    pub(super) fn repeat(&mut self, found: &'v Loop) -> Result<Value<'v>, EvaluationError> {
        let items = match &found.over {
            ProgramNode::Constant(Value::List(list)) => Items::Literal(list.values()),
            over => match self.value(over)? {
                Value::List(list) => Items::List(list),
                Value::Map(map) => Items::Keys(map),
                _ => return Err(EvaluationError::text("only lists and maps can be gone through")),
            },
        };
        match found.kind {
            MacroKind::All => self.until(&items, &found.body, false),
            MacroKind::Exists => self.until(&items, &found.body, true),
            MacroKind::ExistsOne => self.exactly_one(&items, &found.body),
            MacroKind::Filter => self.collect(&items, Some(&found.body), None),
            MacroKind::Map => self.collect(&items, found.filter.as_ref(), Some(&found.body)),
        }
    }

    /// `all` ends at the first `false`, `exists` at the first `true`: either wins over errors before it.
    fn until(
        &mut self,
        items: &Items<'v>,
        body: &'v ProgramNode,
        deciding: bool,
    ) -> Result<Value<'v>, EvaluationError> {
        let mut failure = None;
        let mut position = 0;
        while let Some(item) = items.item(position, self.budget)? {
            match self.holds(item, body) {
                Ok(value) if value == deciding => return Ok(Value::Bool(deciding)),
                Ok(_) => {}
                Err(EvaluationError::Budget) => return Err(EvaluationError::Budget),
                Err(other) => {
                    failure.get_or_insert(other);
                }
            }
            position += 1;
        }
        failure.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    /// Every item is looked at: an error after the second hit is an error still.
    fn exactly_one(
        &mut self,
        items: &Items<'v>,
        body: &'v ProgramNode,
    ) -> Result<Value<'v>, EvaluationError> {
        let (mut hits, mut position) = (0_usize, 0);
        while let Some(item) = items.item(position, self.budget)? {
            hits += usize::from(self.holds(item, body)?);
            position += 1;
        }
        Ok(Value::Bool(hits == 1))
    }

    /// The items that pass the filter, or what becomes of them.
    fn collect(
        &mut self,
        items: &Items<'v>,
        filter: Option<&'v ProgramNode>,
        body: Option<&'v ProgramNode>,
    ) -> Result<Value<'v>, EvaluationError> {
        let mut values = Vec::new();
        let mut position = 0;
        while let Some(item) = items.item(position, self.budget)? {
            position += 1;
            if let Some(filter) = filter {
                let copy = item.copy(self.budget)?;
                if !self.holds(copy, filter)? {
                    continue;
                }
            }
            self.budget.charge(size_of::<Value<'_>>())?;
            values.push(match body {
                Some(body) => self.with(item, body)?,
                None => item,
            });
        }
        Ok(Value::from(values))
    }

    fn holds(&mut self, item: Value<'v>, body: &'v ProgramNode) -> Result<bool, EvaluationError> {
        match self.with(item, body)? {
            Value::Bool(value) => Ok(value),
            _ => Err(EvaluationError::text("the expression of a macro has to yield a boolean")),
        }
    }

    fn with(&mut self, item: Value<'v>, body: &'v ProgramNode) -> Result<Value<'v>, EvaluationError> {
        self.locals.push(item);
        let value = self.value(body);
        self.locals.pop();
        value
    }
}
