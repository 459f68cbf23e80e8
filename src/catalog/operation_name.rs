//! The name of the operation that a call is about.

use std::borrow::Cow;

use super::method::Call;
use super::operation::OperationMethod;
use crate::http::Path;

impl Call {
    /// The name of the operation that a call of this method is about: the variable `name`, where it is the path's only one
    /// and a whole name, or else the path without its version, and without its verb. So all methods of a service call an
    /// operation by one name, whatever their variables are.
    pub fn operation_name<'c>(&'c self, method: OperationMethod, path: &'c Path) -> Cow<'c, str> {
        if let [(field, name)] = self.bindings.as_slice()
            && &**field == "name"
            && name.contains('/')
        {
            return Cow::Borrowed(name);
        }
        let decoded = path.decoded();
        let word = match method {
            OperationMethod::Cancel => "cancel",
            OperationMethod::Wait => "wait",
            OperationMethod::Get | OperationMethod::List | OperationMethod::Delete => "",
        };
        let without_verb = decoded
            .strip_suffix(word)
            .filter(|_| !word.is_empty())
            .and_then(|rest| rest.strip_suffix([':', '/']))
            .unwrap_or(decoded);
        let name = without_verb.trim_start_matches('/');
        match name.split_once('/') {
            Some((first, rest)) if is_version(first) => Cow::Borrowed(rest),
            _ => Cow::Borrowed(name),
        }
    }
}

/// `v1`, `v1beta1`.
fn is_version(segment: &str) -> bool {
    let mut letters = segment.chars();
    letters.next() == Some('v') && letters.next().is_some_and(|digit| digit.is_ascii_digit())
}
