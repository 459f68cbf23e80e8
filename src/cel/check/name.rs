//! Names: variables of macros and of the environment, types, fields; and suggestions for unknown ones.

use super::{Checker, Typed};
use crate::cel::environment::Type;
use crate::cel::node::ProgramNode;
use crate::cel::syntax::{Expression, Field, Syntax};
use crate::cel::value::{Value, ValueKind};

/// Names in a help line.
const MOST_NAMES: usize = 8;

impl Checker<'_> {
    /// A name, or a field of a value. Of a dotted name, the longest part that is declared is the variable.
    pub(super) fn name_or_field(&mut self, expression: &Expression) -> Typed {
        if let Some(typed) = self.declared(expression) {
            return typed;
        }
        match &expression.kind {
            Syntax::Select { operand, field } if field.quoted || !self.is_unknown(operand) => {
                let operand = self.typed(operand);
                let of = self.field_of(&operand.of, field);
                let field = Value::String(field.name.clone().into());
                Typed::new(ProgramNode::Select { operand: Box::new(operand.node), field }, of)
            }
            _ => self.unknown_name(expression),
        }
    }

    /// The meaning of the whole of a dotted name.
    fn declared(&mut self, expression: &Expression) -> Option<Typed> {
        let (parts, absolute) = expression.dotted()?;
        if !absolute && let Some(local) = parts.first().and_then(|root| self.local(root)) {
            // Its fields are fields, even where a variable is declared under the dotted name.
            return if parts.len() == 1 { Some(local) } else { None };
        }
        let name = parts.join(".");
        if let Some(slot) = self.environment.variables.iter().position(|variable| variable.name == name) {
            self.variables.insert(slot);
            let of = self.environment.variables.get(slot).map_or(Type::Dyn, |variable| variable.of.clone());
            return Some(Typed::new(ProgramNode::Variable(slot), of));
        }
        let kind = ValueKind::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some(Typed::new(ProgramNode::Constant(Value::Type(kind)), Type::Type))
    }

    fn local(&self, name: &str) -> Option<Typed> {
        let index = self.scopes.iter().rposition(|(scope, _)| scope == name)?;
        let (_, of) = self.scopes.get(index)?;
        Some(Typed::new(ProgramNode::Local(index), of.clone()))
    }

    /// Whether no part of a dotted name is declared.
    pub(super) fn is_unknown(&self, expression: &Expression) -> bool {
        let Some((parts, absolute)) = expression.dotted() else { return false };
        if !absolute && parts.first().is_some_and(|root| self.local(root).is_some()) {
            return false;
        }
        let mut name = String::new();
        for part in parts {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(part);
            let variable = self.environment.variables.iter().any(|variable| variable.name == name);
            if variable || ValueKind::ALL.iter().any(|kind| kind.name() == name) {
                return false;
            }
        }
        true
    }

    /// The type of a field; a fault where the value has none.
    pub(super) fn field_of(&mut self, of: &Type, field: &Field) -> Type {
        match of {
            Type::Dyn => Type::Dyn,
            Type::Map(key, value) if Type::String.fits(key) => (**value).clone(),
            Type::Map(key, _) => {
                let help = format!("its keys are of type {key}: write `map[key]`");
                self.fault(&field.range, "this map has no fields", help).of
            }
            other => {
                let message = format!("{} has no field `{}`", other.with_article(), field.name);
                let help = match self.method_like(&field.name) {
                    Some(method) => {
                        format!("functions are called with brackets: did you mean `.{method}(…)`?")
                    }
                    None => "only maps have fields".to_owned(),
                };
                self.fault(&field.range, message, help).of
            }
        }
    }

    fn unknown_name(&mut self, expression: &Expression) -> Typed {
        let name = match expression.dotted() {
            Some((parts, _)) => parts.join("."),
            None => return Typed::faulty(),
        };
        let below: Vec<&str> = self.known_names().filter(|known| is_below(known, &name)).collect();
        let message = if below.is_empty() {
            format!("`{name}` is not known here")
        } else {
            format!("`{name}` is not a value by itself")
        };
        let near = nearest(&name, self.known_names()).map(ToOwned::to_owned);
        let help = if !below.is_empty() {
            format!("write the whole name; below it there is {}", listed(&below))
        } else if let Some(near) = near {
            format!("did you mean `{near}`?")
        } else if self.environment.variables.is_empty() {
            "no attribute is known here".to_owned()
        } else {
            let names: Vec<&str> = self.known_names().collect();
            format!("known are {}; strings stand in quotes", listed(&names))
        };
        self.fault(&expression.range, message, help)
    }

    fn known_names(&self) -> impl Iterator<Item = &str> {
        let locals = self.scopes.iter().map(|(name, _)| name.as_str());
        locals.chain(self.environment.variables.iter().map(|variable| variable.name.as_str()))
    }
}

/// `resource.name` is below `resource`.
pub(super) fn is_below(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

/// The name that was probably meant: a third of the letters may differ.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let distance =
        |candidate: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
    let limit = name.chars().count().div_ceil(3);
    known
        .map(|candidate| (distance(&candidate), candidate))
        .filter(|(far, _)| *far <= limit)
        .min()
        .map(|(_, name)| name)
}

/// `a`, `b` and `c`
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((_, _)) if names.len() > MOST_NAMES => format!("{} and more", quoted.join(", ")),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
