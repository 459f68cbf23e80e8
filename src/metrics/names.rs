//! The names that the configuration in force gives. A series of another name is not shown any more.

use std::collections::HashSet;

use prometheus::proto::LabelPair;

use super::UNKNOWN;

/// The values that labels may have which the configuration names. A label that is not here may have any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of `issuer`.
    pub issuers: HashSet<String>,
    /// Of `upstream`.
    pub upstreams: HashSet<String>,
    /// Of `upstream` and `endpoint` together.
    pub endpoints: HashSet<(String, String)>,
    /// Of `service`.
    pub services: HashSet<String>,
    /// Of `service` and `method` together.
    pub methods: HashSet<(String, String)>,
}

impl Names {
    /// Whether all names in a series' labels are known.
    pub(super) fn have(&self, labels: &[LabelPair]) -> bool {
        let value = |label: &str| labels.iter().find(|pair| pair.name() == label).map(LabelPair::value);
        let is_known = |label: &str, known: &HashSet<String>| {
            value(label).is_none_or(|value| value == UNKNOWN || known.contains(value))
        };
        let are_known = |first: &str, second: &str, known: &HashSet<(String, String)>| {
            let (Some(first), Some(second)) = (value(first), value(second)) else { return true };
            second == UNKNOWN || known.contains(&(first.to_owned(), second.to_owned()))
        };
        is_known("issuer", &self.issuers)
            && is_known("upstream", &self.upstreams)
            && are_known("upstream", "endpoint", &self.endpoints)
            && is_known("service", &self.services)
            && are_known("service", "method", &self.methods)
    }
}
