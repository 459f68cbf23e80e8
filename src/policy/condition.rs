//! Conditions of bindings and deny rules: `google.type.Expr` in CEL, over the attributes that IAM documents
//! (<https://cloud.google.com/iam/docs/conditions-attribute-reference>).
//!
//! Compiled and type-checked at load, so that a typing error is reported before it denies or grants. At run time a
//! condition holds, does not hold, or cannot be evaluated. The last never grants, and it makes a deny rule deny.

mod static_analysis;

use std::sync::{Arc, LazyLock};

use super::attributes::{Attribute, Attributes};
use super::model::located::Located;
use super::model::resource::ResourceName;
use super::model::tags::{TagSpelling, Tags};
use crate::cel::{
    Activation, Budget, CompileError, Environment, EvaluationError, Program, Timestamp, Type, Value,
};
use crate::diagnostic::{Report, Span};
use crate::document::{Node, Spelling};
use crate::principal::Principal;

/// Most `&&`, `||` and `!` in one condition (<https://cloud.google.com/iam/quotas>).
const MAX_LOGIC_OPERATORS: usize = 12;

/// Units of work that the conditions of one decision may take together; see [`Budget`]. Conditions in practice take
/// some tens each.
const DECISION_BUDGET: u64 = 100_000;

pub(super) use self::static_analysis::{StaticOutcome, TagAsked};

/// A condition, ready to be asked.
#[derive(Debug)]
pub(super) struct Condition {
    program: Program,
    /// The expression, as written.
    pub(super) expression: Arc<str>,
    /// Its title, if it has one.
    pub(super) title: Option<Arc<str>>,
}

/// The outcome of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionOutcome {
    /// It is true.
    Holds,
    /// It is false.
    Fails,
    /// It has no value, for this reason.
    Unknown(String),
}

/// An attribute that a condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRead {
    /// How conditions write it.
    pub name: &'static str,
    /// The value, as conditions write it; `None` where it is not known.
    pub value: Option<String>,
}

/// The values that a condition is evaluated with.
#[derive(Clone, Copy)]
pub(super) struct ConditionInput<'a> {
    pub(super) principal: Option<&'a Principal>,
    pub(super) resource: ResourceName<'a>,
    pub(super) tags: &'a Tags,
    pub(super) attributes: &'a Attributes<'a>,
}

/// The work that one decision may spend on conditions.
pub(super) fn budget() -> Budget {
    Budget::new(DECISION_BUDGET)
}

macro_rules! variables {
    ($($variable:ident = $name:literal $of:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum ConditionVariable { $($variable,)* }

        impl ConditionVariable {
            /// In the order of their slots.
            const ALL: &'static [Self] = &[$(Self::$variable),*];

            fn name(self) -> &'static str {
                match self { $(Self::$variable => $name,)* }
            }

            fn of(self) -> Type {
                match self { $(Self::$variable => $of,)* }
            }
        }
    };
}

variables! {
    ResourceName = "resource.name" Type::String;
    ResourceService = "resource.service" Type::String;
    ResourceType = "resource.type" Type::String;
    RequestTime = "request.time" Type::Timestamp;
    RequestPath = "request.path" Type::String;
    RequestHost = "request.host" Type::String;
    RequestMethod = "request.method" Type::String;
    RequestPrincipal = "request.auth.principal" Type::String;
    RequestClaims = "request.auth.claims" Type::Map(Box::new(Type::String), Box::new(Type::Dyn));
    AccessLevels = "request.auth.access_levels" Type::List(Box::new(Type::String));
    OriginIp = "origin.ip" Type::String;
    DestinationIp = "destination.ip" Type::String;
    DestinationPort = "destination.port" Type::Int;
}

impl ConditionVariable {
    fn told_by_the_request(self) -> Option<Attribute> {
        match self {
            Self::RequestTime => Some(Attribute::Time),
            Self::RequestPath => Some(Attribute::Path),
            Self::RequestHost => Some(Attribute::Host),
            Self::RequestMethod => Some(Attribute::Method),
            Self::RequestClaims => Some(Attribute::Claims),
            Self::OriginIp => Some(Attribute::Origin),
            Self::ResourceName
            | Self::ResourceService
            | Self::ResourceType
            | Self::RequestPrincipal
            | Self::AccessLevels
            | Self::DestinationIp
            | Self::DestinationPort => None,
        }
    }
}

/// Attributes that Identity-Aware Proxy has and opgate does not have: conditions on them load and are never true.
const NEVER_KNOWN: [ConditionVariable; 3] =
    [ConditionVariable::AccessLevels, ConditionVariable::DestinationIp, ConditionVariable::DestinationPort];

/// Functions on attributes, in the order of their slots: those of tags come first. With how they name a tag, and how
/// many arguments they take.
const TAG_FUNCTIONS: [(&str, TagSpelling, usize); 4] = [
    ("resource.hasTagKey", TagSpelling::Named, 1),
    ("resource.hasTagKeyId", TagSpelling::Identified, 1),
    ("resource.matchTag", TagSpelling::Named, 2),
    ("resource.matchTagId", TagSpelling::Identified, 2),
];

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let variables = ConditionVariable::ALL.iter();
    let environment = variables.fold(Environment::new().with_iam_extensions(), |environment, variable| {
        environment.variable(variable.name(), variable.of())
    });
    let environment = TAG_FUNCTIONS.iter().fold(environment, |environment, (name, _, parameters)| {
        environment.function(name, &vec![Type::String; *parameters], Type::Bool)
    });
    environment.function(API_ATTRIBUTE, &[Type::String, Type::Dyn], Type::Dyn)
});

/// The function that reads an API attribute, behind those of tags. Google's own services set these attributes for the
/// call that is judged, such as `iam.googleapis.com/modifiedGrantsByRole` for `setIamPolicy` ("Attribute reference for
/// IAM Conditions", API attributes). No backend of this gate sets any, so the value is unknown. The expression's
/// default is for a call that does not set the attribute; to use it for an unknown value would grant what the condition
/// is to limit.
const API_ATTRIBUTE: &str = "api.getAttribute";

impl Condition {
    /// Reads a google.type.Expr.
    pub(super) fn read(node: &Node, tags: &Tags, report: &mut Report) -> Option<Located<Self>> {
        let (text, span, title) = read_expression(node, report)?;
        let program = compile(text, &ENVIRONMENT, span, MAX_LOGIC_OPERATORS, report)?;
        let unknown = NEVER_KNOWN.iter().filter(|variable| {
            program.variables().any(|slot| ConditionVariable::ALL.get(slot) == Some(*variable))
        });
        for variable in unknown {
            report
                .warning(span, format!("`{}` is never known here", variable.name()))
                .help("a condition that needs it never grants, and a deny rule that needs it always denies");
        }
        if program.functions().any(|slot| slot == TAG_FUNCTIONS.len()) {
            report
                .warning(
                    span,
                    format!(
                        "the value of `{API_ATTRIBUTE}` is never known here: only Google's services set it"
                    ),
                )
                .help("a condition that needs it never grants, and a deny rule that needs it always denies");
        }
        for (function, spelling, _) in program.functions().filter_map(|slot| TAG_FUNCTIONS.get(slot)) {
            if !tags.are_known(*spelling) {
                report
                    .warning(
                        span,
                        format!("the value of `{function}` is never known here: {}", spelling.lack()),
                    )
                    .help(spelling.remedy());
            }
        }
        let condition = Self { expression: text.into(), title: title.map(Arc::from), program };
        Some(Located::new(condition, span))
    }

    /// Whether it reads `resource.type`, which a method's iam rule may leave open.
    pub(super) fn reads_resource_type(&self) -> bool {
        let mut read = self.program.variables().filter_map(|slot| ConditionVariable::ALL.get(slot));
        read.any(|variable| *variable == ConditionVariable::ResourceType)
    }

    /// The outcome for these values.
    pub(super) fn outcome(&self, asked: ConditionInput<'_>, budget: &mut Budget) -> ConditionOutcome {
        ConditionOutcome::of(self.program.evaluate(&asked, budget))
    }
}

impl ConditionOutcome {
    /// The outcome of an evaluation. A value that is not a boolean counts as no outcome.
    pub(super) fn of(evaluated: Result<Value<'_>, EvaluationError>) -> Self {
        match evaluated {
            Ok(Value::Bool(true)) => Self::Holds,
            Ok(Value::Bool(false)) => Self::Fails,
            Ok(_) => Self::Unknown("its value is not a boolean".to_owned()),
            Err(failure) => Self::Unknown(failure.to_string()),
        }
    }
}

impl Condition {
    /// The attributes that it reads, with their values.
    pub(super) fn reads(&self, asked: ConditionInput<'_>) -> Vec<AttributeRead> {
        let read = |variable: &ConditionVariable| AttributeRead {
            name: variable.name(),
            value: asked.shown(*variable, self),
        };
        self.program.variables().filter_map(|slot| ConditionVariable::ALL.get(slot)).map(read).collect()
    }
}

impl ConditionInput<'_> {
    /// The value of an attribute, for a person who looks at why a condition came out as it did.
    fn shown(&self, variable: ConditionVariable, condition: &Condition) -> Option<String> {
        let attributes = self.attributes;
        let quoted = |text: &str| format!("{text:?}");
        match variable {
            ConditionVariable::ResourceName => Some(quoted(self.resource.as_str())),
            ConditionVariable::ResourceService => attributes.service.map(quoted),
            ConditionVariable::ResourceType => attributes.resource_type.map(quoted),
            ConditionVariable::RequestTime => {
                let time = jiff::Timestamp::try_from(attributes.time).ok()?;
                Some(format!("timestamp(\"{time}\")"))
            }
            ConditionVariable::RequestPath => attributes.path.map(quoted),
            ConditionVariable::RequestHost => attributes.host.map(quoted),
            ConditionVariable::RequestMethod => attributes.method.map(quoted),
            ConditionVariable::RequestPrincipal => self.principal.map(|principal| quoted(principal.as_str())),
            // Only claims that the condition may read: an explanation must not show the rest of a token.
            ConditionVariable::RequestClaims => attributes.claims.map(|claims| {
                let named = claims.iter().filter(|(name, _)| condition.expression.contains(name.as_str()));
                let named = named.map(|(name, value)| format!("{name:?}: {value}"));
                format!("{{{}}}", named.collect::<Vec<_>>().join(", "))
            }),
            ConditionVariable::OriginIp => attributes.origin.map(|ip| quoted(&ip.to_string())),
            ConditionVariable::AccessLevels
            | ConditionVariable::DestinationIp
            | ConditionVariable::DestinationPort => None,
        }
    }
}

/// The fields of a google.type.Expr that matter: the expression, where it is written, and its title.
pub(super) fn read_expression<'n>(
    node: &'n Node,
    report: &mut Report,
) -> Option<(&'n str, &'n Span, Option<&'n str>)> {
    let mut fields = node.fields("a condition", Spelling::Proto, report)?;
    let expression = fields.required("expression", report);
    let title = fields.optional_string("title", report);
    fields.optional_string("description", report);
    fields.optional_string("location", report);
    fields.finish(report);
    let node = expression?;
    Some((node.string(report)?, &node.span, title))
}

/// Compiles an expression that has to be true or false; every fault is reported where it stands in the file.
pub(super) fn compile(
    text: &str,
    environment: &Environment,
    span: &Span,
    max_logic_operators: usize,
    report: &mut Report,
) -> Option<Program> {
    match Program::compile(text, environment, &Type::Bool) {
        Ok(program) if program.logic_operators() <= max_logic_operators => Some(program),
        Ok(program) => {
            let count = program.logic_operators();
            report
                .error(
                    span,
                    format!("the condition has {count} logic operators, IAM allows {max_logic_operators}"),
                )
                .help("split it over several bindings, or use `in` with a list for several `==`");
            None
        }
        Err(faults) => {
            for CompileError { range, message, help } in faults {
                match within(span, text, &range) {
                    Some(span) => report.error(&span, message).help(help),
                    None => {
                        let part = text.get(range).unwrap_or_default();
                        report.error(span, format!("{message}, at `{part}`")).help(help)
                    }
                };
            }
            None
        }
    }
}

/// The part of a file that a part of a scalar's text is, where the scalar is written as it reads. In folded text, or
/// where a quote is escaped, it is not.
fn within(span: &Span, text: &str, range: &std::ops::Range<usize>) -> Option<Span> {
    let written = span.source.text.get(span.range.clone())?;
    let start = span.range.start + written.find(text)?;
    Some(Span { source: span.source.clone(), range: start + range.start..start + range.end })
}

impl<'v> Activation<'v> for ConditionInput<'v> {
    fn variable(&self, slot: usize) -> Result<Value<'v>, EvaluationError> {
        let Some(variable) = ConditionVariable::ALL.get(slot) else {
            return Err(EvaluationError::Error("there is no such attribute".into()));
        };
        let unknown = || EvaluationError::Unknown { name: variable.name().into() };
        let attributes = self.attributes;
        let text = |value: Option<&'v str>| value.map(Value::from).ok_or_else(unknown);
        let value = match variable {
            ConditionVariable::ResourceName => Ok(Value::from(self.resource.as_str())),
            ConditionVariable::ResourceService => text(attributes.service),
            ConditionVariable::ResourceType => text(attributes.resource_type),
            ConditionVariable::RequestTime => {
                Timestamp::try_from(attributes.time).map(Value::Timestamp).map_err(|_| unknown())
            }
            ConditionVariable::RequestPath => text(attributes.path),
            ConditionVariable::RequestHost => text(attributes.host),
            ConditionVariable::RequestMethod => text(attributes.method),
            ConditionVariable::RequestPrincipal => text(self.principal.map(Principal::as_str)),
            ConditionVariable::RequestClaims => attributes.claims.map(Value::from).ok_or_else(unknown),
            // On a dual-stack IPv6 socket, an IPv4 client is `::ffff:192.0.2.7`.
            ConditionVariable::OriginIp => {
                attributes.origin.map(|ip| Value::from(ip.to_canonical().to_string())).ok_or_else(unknown)
            }
            ConditionVariable::AccessLevels
            | ConditionVariable::DestinationIp
            | ConditionVariable::DestinationPort => Err(unknown()),
        };
        if let Some(attribute) = variable.told_by_the_request() {
            // An anonymous caller has no claims. That is known, so it is not noted as missing.
            let anonymous = attribute == Attribute::Claims && self.principal.is_none();
            attributes.note(attribute, value.is_ok() || anonymous);
        }
        value
    }

    fn function(&self, slot: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
        match TAG_FUNCTIONS.get(slot) {
            Some((name, spelling, _)) if !self.tags.are_known(*spelling) => {
                Err(EvaluationError::Unknown { name: (*name).into() })
            }
            Some(_) => match arguments {
                [Value::String(key)] => Ok(Value::Bool(self.tags.value(self.resource, key).is_some())),
                [Value::String(key), Value::String(value)] => {
                    Ok(Value::Bool(self.tags.value(self.resource, key) == Some(value)))
                }
                _ => Err(EvaluationError::Error("a tag is named by strings".into())),
            },
            None => Err(EvaluationError::Unknown { name: API_ATTRIBUTE.into() }),
        }
    }
}

#[cfg(test)]
mod tests;
