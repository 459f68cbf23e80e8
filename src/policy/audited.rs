//! Which allowed calls leave a line in the audit log, as `auditConfigs` say
//! (<https://cloud.google.com/logging/docs/audit/configure-data-access>).
//!
//! The configs of a resource's whole chain count together: a kind of access that one of them names leaves lines, and members that
//! one of them exempts leave none. Where no config on the chain is for the service, policy says nothing.

use super::Policy;
use super::decide::SubjectIdentity;
use super::index::CompiledAuditConfig;
use super::model::resource::ResourceName;
use super::subject::Subject;
use crate::catalog::PermissionType;

impl Policy {
    /// Whether a call of a service that was allowed leaves a line. `None` where no policy on its resource's chain has
    /// `auditConfigs` for the service. Writes of metadata always leave one.
    pub fn asks_for_line(
        &self,
        service: &str,
        resource: ResourceName<'_>,
        subject: Subject<'_>,
        access: PermissionType,
    ) -> Option<bool> {
        let index = self.index();
        if index.audited.is_empty() || access == PermissionType::AdminWrite {
            return None;
        }
        let identity = SubjectIdentity::resolve(self, subject);
        let is_for =
            |config: &&CompiledAuditConfig| config.service.as_deref().is_none_or(|name| name == service);
        let (mut is_configured, mut is_asked, mut is_exempt) = (false, false, false);
        // The nearest resource comes first: what an ancestor says of its children's exemptions comes after them.
        for resource in index.chain(resource) {
            let configs = index.audited.get(&resource).map(Vec::as_slice).unwrap_or_default();
            is_configured |= configs.iter().any(|config| is_for(&config));
            let of_kind = || configs.iter().filter(is_for).filter(|config| config.access == access);
            is_asked |= of_kind().next().is_some();
            if of_kind().any(|config| config.ignores_child_exemptions) {
                is_exempt = false;
            }
            is_exempt |= of_kind().any(|config| identity.is_among(&config.exempted));
        }
        is_configured.then_some(is_asked && !is_exempt)
    }
}

#[cfg(test)]
mod tests;
