//! The names that expressions may use, and their types.

use std::fmt;

/// A static type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Type {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Null,
    Type,
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    /// Not known before the evaluation: its use is checked then.
    Dyn,
}

/// The names that expressions may use: variables, and functions of the host. A dotted name (`resource.name`) is
/// declared whole. Slots are numbers in the order of declaration, from 0 for variables and from 0 for functions.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub(super) variables: Vec<DeclaredVariable>,
    pub(super) functions: Vec<DeclaredFunction>,
    pub(super) iam: bool,
}

#[derive(Clone, Debug)]
pub(super) struct DeclaredVariable {
    pub(super) name: String,
    pub(super) of: Type,
}

#[derive(Clone, Debug)]
pub(super) struct DeclaredFunction {
    pub(super) name: String,
    pub(super) parameters: Vec<Type>,
    pub(super) result: Type,
}

impl Environment {
    /// CEL's own functions and macros, and no variable.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, of: Type) -> Self {
        self.variables.push(DeclaredVariable { name: name.to_owned(), of });
        self
    }

    /// Adds a function that [`Activation::function`](super::Activation::function) answers. A second declaration of a
    /// name adds a second list of parameters, under a slot of its own.
    #[must_use]
    pub fn function(mut self, name: &str, parameters: &[Type], result: Type) -> Self {
        self.functions.push(DeclaredFunction {
            name: name.to_owned(),
            parameters: parameters.to_vec(),
            result,
        });
        self
    }

    /// Adds what IAM has beyond CEL: `date`, `extract`, `hasOnly`, `lowerAscii`, `upperAscii`, `split` and `join`.
    #[must_use]
    pub fn with_iam_extensions(mut self) -> Self {
        self.iam = true;
        self
    }
}

impl Type {
    /// A list of such values.
    pub fn list(of: Type) -> Self {
        Self::List(Box::new(of))
    }

    /// A map from such keys to such values.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    /// Whether a value of the one type may be one of the other. An unknown type may be anything.
    pub(super) fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(left), Self::List(right)) => left.fits(right),
            (Self::Map(left_key, left), Self::Map(right_key, right)) => {
                left_key.fits(right_key) && left.fits(right)
            }
            (left, right) => left == right,
        }
    }

    /// The type of what is either.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::List(left), Self::List(right)) => Self::list(left.join(*right)),
            (Self::Map(left_key, left), Self::Map(right_key, right)) => {
                Self::map(left_key.join(*right_key), left.join(*right))
            }
            (left, right) if left == right => left,
            _ => Self::Dyn,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// `a string`, `an int`
    pub(super) fn with_article(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Int => format!("an {self}"),
            _ => format!("a {self}"),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => formatter.write_str("bool"),
            Self::Int => formatter.write_str("int"),
            Self::Uint => formatter.write_str("uint"),
            Self::Double => formatter.write_str("double"),
            Self::String => formatter.write_str("string"),
            Self::Bytes => formatter.write_str("bytes"),
            Self::Timestamp => formatter.write_str("timestamp"),
            Self::Duration => formatter.write_str("duration"),
            Self::Null => formatter.write_str("null"),
            Self::Type => formatter.write_str("type"),
            Self::List(of) => write!(formatter, "list({of})"),
            Self::Map(key, value) => write!(formatter, "map({key}, {value})"),
            Self::Dyn => formatter.write_str("dyn"),
        }
    }
}
