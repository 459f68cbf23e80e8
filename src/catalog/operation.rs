//! Methods of long-running operations, known by their names.
//!
//! Cancels are watched by what is here (docs/cancels.md); it decides nothing.

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
