//! Methods of long-running operations, known by their names, and the operation that a call names.
//!
//! Cancels are watched by what is here (docs/cancels.md); it decides nothing.

use std::borrow::Cow;

use super::method::Call;
use crate::http::Path;

/// What a method does with operations, as `google.longrunning.Operations` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationMethod {
    /// `CancelOperation`
    Cancel,
    /// `GetOperation`
    Get,
    /// `WaitOperation`
    Wait,
    /// `ListOperations`
    List,
    /// `DeleteOperation`
    Delete,
}

impl OperationMethod {
    /// Of the full name of an RPC. `CancelOperation` and its siblings count in every interface: services have their own, with
    /// the same messages. So do `Cancel` and its siblings of an interface that is called after operations, like
    /// `SqlOperationsService` or the `projects.locations.operations` of a discovery document. Case does not matter.
    pub fn of(rpc: &str) -> Option<Self> {
        let (interface, method) = rpc.rsplit_once('.')?;
        let is = |name: &str| method.eq_ignore_ascii_case(name);
        for (own, short, kind) in [
            ("CancelOperation", "Cancel", Self::Cancel),
            ("GetOperation", "Get", Self::Get),
            ("WaitOperation", "Wait", Self::Wait),
            ("ListOperations", "List", Self::List),
            ("DeleteOperation", "Delete", Self::Delete),
        ] {
            if is(own) || is(short) && is_of_operations(interface) {
                return Some(kind);
            }
        }
        None
    }
}

fn is_of_operations(interface: &str) -> bool {
    let name = interface.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    name.strip_suffix("service").unwrap_or(&name).ends_with("operations")
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_operations_are_known_by_their_names() {
        use OperationMethod::{Cancel, Delete, Get, List, Wait};
        for (rpc, expected) in [
            ("google.longrunning.Operations.CancelOperation", Some(Cancel)),
            ("google.longrunning.Operations.GetOperation", Some(Get)),
            ("google.longrunning.Operations.WaitOperation", Some(Wait)),
            ("google.longrunning.Operations.ListOperations", Some(List)),
            ("google.longrunning.Operations.DeleteOperation", Some(Delete)),
            ("google.container.v1.ClusterManager.CancelOperation", Some(Cancel)),
            ("google.cloud.sql.v1.SqlOperationsService.Cancel", Some(Cancel)),
            ("google.cloud.compute.v1.ZoneOperations.Wait", Some(Wait)),
            ("dataproc.projects.regions.operations.cancel", Some(Cancel)),
            ("dataproc.projects.regions.operations.list", Some(List)),
            ("acme.v1.Orders.Cancel", None),
            ("acme.v1.Jobs.CancelJob", None),
            ("google.longrunning.Operations.CancelOperations", None),
            ("CancelOperation", None),
            ("", None),
        ] {
            assert_eq!(OperationMethod::of(rpc), expected, "{rpc}");
        }
    }
}
