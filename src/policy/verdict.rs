//! What a policy says of a call that it does not decide. No [`Permit`](super::Permit) comes of it, so nothing can be
//! forwarded by it.

use super::Policy;
use super::attributes::Attributes;
use super::model::resource::ResourceName;
use super::permit::asked_of;
use super::refusal::{Granted, Refusal};
use super::subject::Subject;
use crate::catalog::{Call, PermissionRule};
use crate::diagnostic::Place;
use crate::principal::Caller;
use crate::reason::Reason;

/// The answer of a policy that is not in force.
#[derive(Clone, Debug)]
pub struct Verdict<'c> {
    subject: Subject<'c>,
    permission: &'c str,
    resource: ResourceName<'c>,
    answer: Result<Granted, Refusal>,
}

impl Policy {
    /// What this policy says of a call and its caller, as [`authorize`](Self::authorize) would decide it. `None` where the
    /// method asks for no permission: no policy is asked then.
    pub fn verdict<'c>(
        &self,
        call: &'c Call,
        caller: Option<&'c Caller>,
        attributes: Attributes<'c>,
    ) -> Option<Verdict<'c>> {
        let PermissionRule::Required(permission) = &call.method.permission else { return None };
        let (subject, resource, attributes) = asked_of(call, caller, attributes);
        let answer = self.decide(subject, permission, resource, &attributes);
        Some(Verdict { subject, permission, resource, answer })
    }
}

impl Verdict<'_> {
    /// Whether it would let the call pass.
    pub fn is_allowed(&self) -> bool {
        self.answer.is_ok()
    }

    /// The binding that grants.
    pub fn granted(&self) -> Option<&Granted> {
        self.answer.as_ref().ok()
    }

    /// Why it would refuse the call.
    pub fn reason(&self) -> Option<Reason> {
        let is_known = self.subject.principal.is_some();
        let refused = if is_known { Reason::PermissionDenied } else { Reason::CredentialsMissing };
        self.answer.is_err().then_some(refused)
    }

    /// Where the rule is written that refuses, where one does.
    pub fn refused_by(&self) -> Option<&Place> {
        self.answer.as_ref().err()?.rule()
    }

    /// The refusal in a sentence, for the audit log.
    pub fn detail(&self) -> Option<String> {
        let refusal = self.answer.as_ref().err()?;
        Some(refusal.detail(self.subject, self.permission, self.resource))
    }
}
