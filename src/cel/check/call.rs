//! Calls: which function is meant, whether its arguments fit, and what can be worked out at load.

use std::ops::Range;

use super::name::{is_below, listed, nearest};
use super::{Checker, Typed};
use crate::cel::calendar::Zone;
use crate::cel::environment::Type;
use crate::cel::function::{self, Form, Function, OVERLOADS, Overload};
use crate::cel::node::Node;
use crate::cel::pattern::Pattern;
use crate::cel::strings;
use crate::cel::syntax::Expression;
use crate::cel::value::{Kind, Value};

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        range: &Range<usize>,
        target: Option<&Expression>,
        function: &str,
        name: &Range<usize>,
        arguments: &[Expression],
    ) -> Typed {
        let dotted = match target {
            None => Some(function.to_owned()),
            Some(target) if target.dotted().is_some_and(|(parts, _)| !self.is_local(&parts)) => {
                target.dotted().map(|(parts, _)| format!("{}.{function}", parts.join(".")))
            }
            Some(_) => None,
        };
        if let Some(dotted) = &dotted {
            if self.environment.functions.iter().any(|known| known.name == *dotted) {
                return self.host(range, dotted, arguments);
            }
            // `resource.startsWith('…')` is a mistake in the name of the attribute, and told as one.
            let is_method = self.overloads().any(|overload| overload.name == function);
            let namespace = |target: &Expression| {
                !is_method
                    && self.is_unknown(target)
                    && target.dotted().is_some_and(|(parts, _)| self.is_namespace(&parts.join(".")))
            };
            if target.is_some_and(namespace) {
                let range = target.map_or(name.start, |target| target.range.start)..name.end;
                return self.unknown_function(&range, dotted, arguments);
            }
        }
        let places: Vec<&Expression> = target.into_iter().chain(arguments).collect();
        let typed: Vec<Typed> = places.iter().map(|argument| self.typed(argument)).collect();
        let named: Vec<&Overload> = self.overloads().filter(|overload| overload.name == function).collect();
        if named.is_empty() {
            return self.unknown_function(name, function, &[]);
        }
        let called = named.iter().find(|overload| {
            let form =
                if target.is_some() { overload.form != Form::Plain } else { overload.form != Form::Receiver };
            let parameters = overload.parameters;
            form && parameters.len() == typed.len()
                && parameters.iter().zip(&typed).all(|(shape, argument)| argument.of.fits(&shape.to_type()))
        });
        match called {
            Some(overload) => {
                // An argument whose type is not known may be meant for another overload than the first that fits.
                let open = typed.iter().any(|argument| argument.of == Type::Dyn);
                let results = named.iter().map(|other| other.result);
                let one_result = results.clone().all(|result| result == overload.result);
                let of = if open && !one_result { Type::Dyn } else { overload.result.to_type() };
                self.standard(&places, overload.function, typed, of)
            }
            None => {
                let types: Vec<String> = typed.iter().map(|argument| argument.of.to_string()).collect();
                let message = match (target, types.split_first()) {
                    (Some(_), Some((receiver, []))) => format!("{receiver} has no `{function}()`"),
                    (Some(_), Some((receiver, rest))) => {
                        format!("{receiver} has no `{function}` with ({})", rest.join(", "))
                    }
                    _ => format!("`{function}` does not take ({})", types.join(", ")),
                };
                let known: Vec<String> = named.iter().map(|overload| signature(overload)).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                self.fault(name, message, format!("there is {}", listed(&known)))
            }
        }
    }

    /// A function of the host.
    fn host(&mut self, range: &Range<usize>, name: &str, arguments: &[Expression]) -> Typed {
        let typed: Vec<Typed> = arguments.iter().map(|argument| self.typed(argument)).collect();
        let environment = self.environment;
        let declared = environment.functions.iter().enumerate().filter(|(_, known)| known.name == name);
        let fitting = declared.clone().find(|(_, known)| {
            known.parameters.len() == typed.len()
                && known
                    .parameters
                    .iter()
                    .zip(&typed)
                    .all(|(parameter, argument)| argument.of.fits(parameter))
        });
        let Some((slot, known)) = fitting else {
            let types: Vec<String> = typed.iter().map(|argument| argument.of.to_string()).collect();
            let known: Vec<String> =
                declared.map(|(_, known)| format!("{name}({})", joined(&known.parameters))).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let message = format!("`{name}` does not take ({})", types.join(", "));
            return self.fault(range, message, format!("there is {}", listed(&known)));
        };
        self.functions.insert(slot);
        let arguments = typed.into_iter().map(|argument| argument.node).collect();
        let parameters = known.parameters.clone().into();
        Typed::new(Node::Host { slot, arguments, parameters }, known.result.clone())
    }

    /// A function of CEL or IAM. What is wrong with a literal is told now: it would be wrong each time.
    fn standard(
        &mut self,
        places: &[&Expression],
        function: Function,
        arguments: Vec<Typed>,
        of: Type,
    ) -> Typed {
        let constants = super::constants(&arguments);
        if let Some(constants) = &constants
            && function != Function::Matches
            && let Ok(value) = function::apply(function, constants, &mut self.folding)
        {
            return Typed::new(Node::Constant(value), of);
        }
        let last = arguments.last().and_then(Typed::constant).and_then(text);
        let place = places.last().map(|place| place.range.clone()).unwrap_or_default();
        let mut nodes: Vec<Node> = Vec::with_capacity(arguments.len());
        let told = match (function, last) {
            (Function::Matches, Some(pattern)) => match Pattern::compile(pattern) {
                Ok(pattern) => {
                    let text =
                        arguments.into_iter().next().map_or(Node::Constant(Value::Null), |text| text.node);
                    return Typed::new(
                        Node::Matches { text: Box::new(text), pattern: Box::new(pattern) },
                        of,
                    );
                }
                Err(reason) => Some((format!("the pattern cannot be used: {reason}"), "patterns are RE2's")),
            },
            (Function::Part(part), Some(zone)) => match Zone::parse(zone) {
                Some(zone) => {
                    let time =
                        arguments.into_iter().next().map_or(Node::Constant(Value::Null), |time| time.node);
                    return Typed::new(Node::PartIn { part, time: Box::new(time), zone: Box::new(zone) }, of);
                }
                None => Some((
                    format!("`{zone}` is no time zone"),
                    "write a name such as `Europe/Berlin`, or `+01:00`",
                )),
            },
            (Function::To(Kind::Timestamp), Some(text)) if constants.is_some() => Some((
                format!("`{text}` is no time"),
                "times are written as `2030-01-31T09:30:00Z`, or with an offset for `Z`: `+01:00`",
            )),
            (Function::To(Kind::Duration), Some(text)) if constants.is_some() => {
                Some((format!("`{text}` is no duration"), "durations are written as `3600s` or `1h30m`"))
            }
            (Function::Date, Some(text)) if constants.is_some() => {
                Some((format!("`{text}` is no date"), "dates are written as `2030-01-31`"))
            }
            (Function::Extract, Some(template)) if strings::template_parts(template).is_none() => Some((
                format!("`{template}` is no template of `extract`"),
                "a template has one name in braces: `projects/{project}/`",
            )),
            _ => None,
        };
        if let Some((message, help)) = told {
            return self.fault(&place, message, help);
        }
        nodes.extend(arguments.into_iter().map(|argument| argument.node));
        Typed::new(Node::Call { function, arguments: nodes.into() }, of)
    }

    fn unknown_function(&mut self, range: &Range<usize>, name: &str, arguments: &[Expression]) -> Typed {
        for argument in arguments {
            self.typed(argument);
        }
        let near = nearest(name, self.known_functions()).map(ToOwned::to_owned);
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let below: Vec<&str> = match name.rsplit_once('.') {
                    Some((namespace, _)) => {
                        self.known_functions().filter(|known| is_below(known, namespace)).collect()
                    }
                    None => Vec::new(),
                };
                if below.is_empty() {
                    "see the functions of CEL: size, startsWith, endsWith, contains, matches, timestamp, duration".into()
                } else {
                    format!("there is {}", listed(&below))
                }
            }
        };
        self.fault(range, format!("there is no function `{name}`"), help)
    }

    /// The function that a field without brackets was meant for.
    pub(super) fn method_like(&self, name: &str) -> Option<&'static str> {
        let methods = self.overloads().filter(|overload| overload.form != Form::Plain);
        nearest(name, methods.map(|overload| overload.name))
    }

    fn overloads(&self) -> impl Iterator<Item = &'static Overload> + use<> {
        let iam = self.environment.iam;
        OVERLOADS.iter().filter(move |overload| iam || !overload.iam)
    }

    fn known_functions(&self) -> impl Iterator<Item = &str> {
        let host = self.environment.functions.iter().map(|function| function.name.as_str());
        host.chain(self.overloads().map(|overload| overload.name))
    }

    fn is_local(&self, parts: &[&str]) -> bool {
        parts.first().is_some_and(|root| self.scopes.iter().any(|(scope, _)| scope == root))
    }

    /// Whether functions or variables are declared below the name.
    fn is_namespace(&self, name: &str) -> bool {
        let functions = self.environment.functions.iter().any(|function| is_below(&function.name, name));
        functions || self.environment.variables.iter().any(|variable| is_below(&variable.name, name))
    }
}

fn text<'t>(value: &'t Value<'static>) -> Option<&'t str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// `string.startsWith(string)`
fn signature(overload: &Overload) -> String {
    let types: Vec<Type> = overload.parameters.iter().map(|shape| shape.to_type()).collect();
    match (overload.form, types.split_first()) {
        (Form::Receiver, Some((receiver, rest))) => format!("{receiver}.{}({})", overload.name, joined(rest)),
        _ => format!("{}({})", overload.name, joined(&types)),
    }
}

fn joined(types: &[Type]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
