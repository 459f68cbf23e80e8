//! The proof that a call is allowed, and the one function that makes it.

use std::sync::Arc;
use std::time::SystemTime;

use super::Policy;
use super::attributes::Attributes;
use super::model::resource::ResourceName;
use super::refusal::Granted;
use super::subject::Subject;
use crate::catalog::{Call, PermissionRule};
use crate::principal::Caller;
use crate::reason::{Denial, Reason};

/// Proof that policy allows this caller this call. Only [`Policy::authorize`] makes one. Forwarding needs one: no
/// request gets to a backend without it.
#[derive(Debug)]
pub struct Permit {
    call: Arc<Call>,
    caller: Option<Arc<Caller>>,
    grant: Grant,
    decided_at: SystemTime,
    _proof: (),
}

/// Why a call is allowed: the audit line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A binding grants the permission that the method asks for.
    Binding(Granted),
    /// The method's rule says `permission: none`.
    NoPermissionAsked,
}

impl Permit {
    /// The call that is allowed.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The caller; `None` where they sent no credential.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_deref()
    }

    /// Why.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The time that the decision was made for.
    pub fn decided_at(&self) -> SystemTime {
        self.decided_at
    }
}

impl Policy {
    /// Decides whether a caller may make a call. `attributes` is what conditions may ask of the request; the call and
    /// the caller add theirs.
    ///
    /// `caller` is `None` where no credential was sent. Such a call needs a method that allows it
    /// (`allow_without_credential`), whatever an earlier stage let pass. Where the method has a permission, it needs a
    /// binding of `allUsers` as well. Its denial is 401 and not 403: signing in may help.
    ///
    /// # Errors
    /// [`Reason::PermissionDenied`] in Google's words, or [`Reason::CredentialsMissing`]. Only the detail says what
    /// nearly matched.
    pub fn authorize(
        &self,
        call: &Arc<Call>,
        caller: Option<&Arc<Caller>>,
        attributes: Attributes<'_>,
    ) -> Result<Permit, Denial> {
        if caller.is_none() && !call.method.allow_without_credential {
            return Err(credentials_missing(call, "the method asks for a credential and none was sent"));
        }
        let grant = match &call.method.permission {
            PermissionRule::None => Grant::NoPermissionAsked,
            PermissionRule::Required(permission) => {
                let (subject, resource, attributes) =
                    asked_of(call, caller.map(|caller| &**caller), attributes);
                match self.decide(subject, permission, resource, &attributes) {
                    Ok(granted) => Grant::Binding(granted),
                    Err(refusal) => {
                        let detail = refusal.detail(subject, permission, resource);
                        let denial = match caller {
                            Some(_) => permission_denied(call, permission, detail),
                            None => credentials_missing(call, detail),
                        };
                        return Err(match refusal.rule() {
                            Some(place) => denial.rule(place.clone()),
                            None => denial,
                        });
                    }
                }
            }
        };
        Ok(Permit {
            call: call.clone(),
            caller: caller.cloned(),
            grant,
            decided_at: attributes.time,
            _proof: (),
        })
    }
}

/// The question to policy that a call puts, with the attributes for conditions.
pub(super) fn asked_of<'c>(
    call: &'c Call,
    caller: Option<&'c Caller>,
    attributes: Attributes<'c>,
) -> (Subject<'c>, ResourceName<'c>, Attributes<'c>) {
    let subject = match caller {
        Some(caller) => Subject::of_caller(caller),
        None => Subject::anonymous(),
    };
    (subject, ResourceName::new(call.resource()), attributes.of_call(call, caller))
}

/// The wording and fields that cloudaicompanion.googleapis.com answers with. It does not say whether the resource
/// exists (AIP-211).
fn permission_denied(call: &Call, permission: &str, detail: String) -> Denial {
    let service = &call.method.service;
    let resource = call.resource();
    Denial::new(Reason::PermissionDenied, detail)
        .message(format!(
            "Permission '{permission}' denied on resource '//{}/{resource}' (or it may not exist).",
            service.name
        ))
        .domain(service.error_domain.clone())
        .metadata("resource", resource)
        .metadata("permission", permission)
}

/// google/api/error_reason.proto, CREDENTIALS_MISSING: its metadata names the service and the method.
fn credentials_missing(call: &Call, detail: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::new(Reason::CredentialsMissing, detail)
        .metadata("service", call.method.service.name.as_str())
        .metadata("method", call.method.name.as_str())
}

#[cfg(test)]
mod tests;
