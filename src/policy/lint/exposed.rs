//! The permissions that exposed methods ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::{Catalog, Method, PermissionRule};
use crate::policy::model::role::Role;

/// Which methods ask for which permission.
pub(super) struct Exposed<'c> {
    by_permission: BTreeMap<&'c str, Vec<&'c Method>>,
}

impl<'c> Exposed<'c> {
    pub(super) fn of(catalog: &'c Catalog) -> Self {
        let mut by_permission: BTreeMap<&str, Vec<&Method>> = BTreeMap::new();
        for method in catalog.methods().iter().map(Arc::as_ref) {
            let PermissionRule::Required(permission) = &method.permission else { continue };
            let methods = by_permission.entry(permission).or_default();
            // A service that is exposed on several hosts by several entries has its methods several times.
            if !methods.iter().any(|other| other.place == method.place) {
                methods.push(method);
            }
        }
        Self { by_permission }
    }

    pub(super) fn contains(&self, permission: &str) -> bool {
        self.by_permission.contains_key(permission)
    }

    /// Every permission with the methods that ask for it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'c str, &[&'c Method])> {
        self.by_permission.iter().map(|(permission, methods)| (*permission, methods.as_slice()))
    }

    pub(super) fn permissions(&self) -> impl Iterator<Item = &'c str> + Clone {
        self.by_permission.keys().copied()
    }

    /// The methods that ask for a permission.
    pub(super) fn methods(&self, permission: &str) -> &[&'c Method] {
        self.by_permission.get(permission).map(Vec::as_slice).unwrap_or_default()
    }

    /// Those that a role holds.
    pub(super) fn held<'a>(&'a self, role: &'a Role) -> impl Iterator<Item = &'a str> {
        let held = role.permissions().iter().map(String::as_str);
        held.filter(|permission| self.contains(permission))
    }
}

/// Whether a permission reads and does not change anything.
pub(super) fn is_to_read(permission: &str) -> bool {
    let verb = permission.rsplit('.').next().unwrap_or_default();
    // `getData` and `listRuns` as well, but not `getaway`.
    ["get", "list"].iter().any(|prefix| {
        verb.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(|next: char| next.is_ascii_uppercase()))
    })
}
