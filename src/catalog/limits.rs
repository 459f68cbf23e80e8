//! What one call of a method may take: bytes and time.
//!
//! The operator says it for a service, or for a method of it (`services.ID.limits`). A service file may give a method a
//! deadline (google/api/backend.proto). What neither says is as `limits` and the upstream's `timeouts` have it.

use std::time::Duration;

use super::service::Selector;
use crate::diagnostic::{Report, Span};
use crate::document::nearest;

/// Most bytes that the operator may let a body have that is held whole.
pub const MAX_MESSAGE_BYTES: u64 = 10 * 1024 * 1024;

/// The limits of a call. `None` where nothing is said of this service or method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodLimits {
    /// Most bytes of a `message` body, as sent and inflated.
    pub message_bytes: Option<u64>,
    /// Most bytes of a `stream` body.
    pub stream_bytes: Option<u64>,
    /// The time in which a `stream` body has to arrive.
    pub stream_timeout: Option<Duration>,
    /// From the time when the upstream has room for the call until its answer has ended, by the operator: in place of the
    /// upstream's `timeouts.total`.
    pub deadline: Option<Duration>,
    /// The same by the service file, which may shorten `timeouts.total` and not extend it.
    pub declared_deadline: Option<Duration>,
}

impl MethodLimits {
    /// These limits, and others for what they leave open.
    fn or(self, others: Self) -> Self {
        Self {
            message_bytes: self.message_bytes.or(others.message_bytes),
            stream_bytes: self.stream_bytes.or(others.stream_bytes),
            stream_timeout: self.stream_timeout.or(others.stream_timeout),
            deadline: self.deadline.or(others.deadline),
            declared_deadline: self.declared_deadline.or(others.declared_deadline),
        }
    }

    /// How long an exchange may take, where the upstream says `total`.
    pub fn total(&self, total: Duration) -> Duration {
        match (self.deadline, self.declared_deadline) {
            (Some(deadline), _) => deadline,
            (None, Some(declared)) => declared.min(total),
            (None, None) => total,
        }
    }
}

/// `services.ID.limits`: for all methods of a service, and for some of them.
#[derive(Clone, Debug, Default)]
pub struct ServiceLimits {
    pub(super) all: MethodLimits,
    /// By the full name of the method, and where it is written.
    pub(super) methods: Vec<(String, Span, MethodLimits)>,
}

impl PartialEq for ServiceLimits {
    /// Whether they say the same, wherever they are written.
    fn eq(&self, other: &Self) -> bool {
        let methods = |limits: &Self| -> Vec<(String, MethodLimits)> {
            limits.methods.iter().map(|(name, _, limits)| (name.clone(), *limits)).collect()
        };
        self.all == other.all && methods(self) == methods(other)
    }
}

impl ServiceLimits {
    /// The limits of a method, with the deadline that the service file gives it.
    pub(super) fn of(&self, method: &str, declared: Option<Duration>) -> MethodLimits {
        let own = self.methods.iter().find(|(name, ..)| name == method).map(|(.., limits)| *limits);
        let declared = MethodLimits { declared_deadline: declared, ..MethodLimits::default() };
        own.unwrap_or_default().or(self.all).or(declared)
    }

    /// Most bytes of any `message` body.
    pub fn longest_message(&self) -> Option<u64> {
        self.methods
            .iter()
            .filter_map(|(.., limits)| limits.message_bytes)
            .chain(self.all.message_bytes)
            .max()
    }

    /// Reports limits of methods that the service does not have, or that no iam rule exposes.
    pub(super) fn check<'m>(&self, exposed: impl Iterator<Item = &'m str> + Clone, report: &mut Report) {
        for (name, span, _) in &self.methods {
            if exposed.clone().any(|known| known == name) {
                continue;
            }
            let diagnostic = report.error(span, format!("the service exposes no method `{name}`"));
            match nearest(name, exposed.clone()) {
                Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
                None => diagnostic.help("write the full name of a method that its iam file has a rule for"),
            };
        }
    }
}

/// `backend.rules` of a service file, as far as opgate reads them: the deadlines of methods. As with other rules, the last
/// one that selects a method counts.
#[derive(Clone, Debug)]
pub struct BackendRule {
    /// The methods that it is for.
    pub selectors: Vec<Selector>,
    /// `deadline`, where it is given.
    pub deadline: Option<Duration>,
}

impl BackendRule {
    /// The deadline that a method has by these rules.
    pub(super) fn deadline_of(rules: &[Self], method: &str) -> Option<Duration> {
        let selects = |rule: &&Self| rule.selectors.iter().any(|selector| selector.covers(method));
        rules.iter().rev().find(selects)?.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn a_method_goes_before_its_service_and_the_operator_before_the_file() {
        let span = Span { source: crate::diagnostic::Source::new("a.yaml", ""), range: 0..0 };
        let own = MethodLimits { stream_bytes: Some(9), deadline: seconds(90), ..MethodLimits::default() };
        let all = MethodLimits { message_bytes: Some(1), stream_bytes: Some(2), ..MethodLimits::default() };
        let limits = ServiceLimits { all, methods: vec![("a.B.C".to_owned(), span, own)] };
        let (of_c, of_d) = (limits.of("a.B.C", seconds(5)), limits.of("a.B.D", seconds(5)));
        assert_eq!((of_c.message_bytes, of_c.stream_bytes), (Some(1), Some(9)));
        assert_eq!((of_d.message_bytes, of_d.stream_bytes), (Some(1), Some(2)));
        let total = Duration::from_secs(10);
        // The operator may extend what the upstream says, the service file may not.
        assert_eq!(of_c.total(total), Duration::from_secs(90));
        assert_eq!(of_d.total(total), Duration::from_secs(5));
        assert_eq!(limits.of("a.B.D", seconds(50)).total(total), total);
        assert_eq!(limits.of("a.B.D", None).total(total), total);
    }

    #[test]
    fn the_last_backend_rule_that_selects_a_method_counts() {
        let rule = |selector, deadline| BackendRule { selectors: vec![selector], deadline };
        let rules = [
            rule(Selector::All, seconds(1)),
            rule(Selector::Below("a.B.".to_owned()), seconds(2)),
            rule(Selector::Exact("a.B.C".to_owned()), None),
        ];
        assert_eq!(BackendRule::deadline_of(&rules, "x.Y.Z"), seconds(1));
        assert_eq!(BackendRule::deadline_of(&rules, "a.B.D"), seconds(2));
        assert_eq!(BackendRule::deadline_of(&rules, "a.B.C"), None);
        assert_eq!(BackendRule::deadline_of(&[], "a.B.C"), None);
    }
}
