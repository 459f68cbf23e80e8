//! Calls: which function is meant, whether its arguments fit, and which calls can be evaluated at load.

use std::ops::Range;

use super::name::{is_below, listed, nearest};
use super::{Checker, Typed};
use crate::cel::environment::Type;
use crate::cel::function::{Form, OVERLOADS, Overload};
use crate::cel::node::ProgramNode;
use crate::cel::syntax::Expression;

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
            // `resource.startsWith('…')` is a mistake in the name of the attribute, and is reported as one.
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
                let known: Vec<String> = named.iter().map(|overload| signature(overload)).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let message = no_overload(function, target.is_some(), &typed, &named);
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
            let known: Vec<String> =
                declared.map(|(_, known)| format!("{name}({})", joined(&known.parameters))).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let message = format!("`{name}` does not take ({})", types(&typed));
            return self.fault(range, message, format!("there is {}", listed(&known)));
        };
        self.functions.insert(slot);
        let arguments = typed.into_iter().map(|argument| argument.node).collect();
        let parameters = known.parameters.clone().into();
        Typed::new(ProgramNode::Host { slot, arguments, parameters }, known.result.clone())
    }

    fn unknown_function(&mut self, range: &Range<usize>, name: &str, arguments: &[Expression]) -> Typed {
        for argument in arguments {
            self.typed(argument);
        }
        let near = self.other_word_for(name).or_else(|| nearest(name, self.known_functions()));
        let near = near.map(ToOwned::to_owned);
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

    /// What CEL calls a function that other languages have.
    fn other_word_for(&self, name: &str) -> Option<&'static str> {
        let name = name.to_ascii_lowercase();
        let (_, known) = OTHER_WORDS.iter().find(|(words, _)| words.contains(&&*name))?;
        self.overloads().any(|overload| overload.name == *known).then_some(known)
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

/// Functions of other languages, in lower case, and what they are here.
const OTHER_WORDS: [(&[&str], &str); 9] = [
    (&["beginswith", "begins_with", "starts_with", "hasprefix", "has_prefix", "prefix"], "startsWith"),
    (&["ends_with", "hassuffix", "has_suffix", "suffix"], "endsWith"),
    (&["includes", "include", "indexof", "haskey", "has_key"], "contains"),
    (&["match", "test", "regex", "regexmatch", "regexp"], "matches"),
    (&["len", "length", "count"], "size"),
    (&["lower", "tolower", "tolowercase", "lowercase", "downcase"], "lowerAscii"),
    (&["upper", "toupper", "touppercase", "uppercase", "upcase"], "upperAscii"),
    (&["substring", "substr", "slice", "capture"], "extract"),
    (&["hour", "hours", "gethour"], "getHours"),
];

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

fn types(arguments: &[Typed]) -> String {
    arguments.iter().map(|argument| argument.of.to_string()).collect::<Vec<_>>().join(", ")
}

/// Says that a function does not take these arguments. The first is the receiver where it is called as a method.
fn no_overload(function: &str, is_method: bool, typed: &[Typed], named: &[&Overload]) -> String {
    let of_receiver = |overload: &&Overload| {
        let receiver = overload.parameters.first().zip(typed.first());
        receiver.is_some_and(|(shape, argument)| argument.of.fits(&shape.to_type()))
    };
    match typed.split_first() {
        Some((receiver, _)) if is_method && !named.iter().any(of_receiver) => {
            format!("{} has no `{function}`", receiver.of.with_article())
        }
        Some((_, rest)) if is_method => format!("`{function}` does not take ({})", types(rest)),
        _ => format!("`{function}` does not take ({})", types(typed)),
    }
}
