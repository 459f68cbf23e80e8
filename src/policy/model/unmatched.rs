//! Principal identifiers that IAM documents and that no caller of a gate can be: which principals are in them, Google
//! alone knows (<https://cloud.google.com/iam/docs/principal-identifiers>).
//!
//! Exports hold them, so they load. In an allow policy and among the exceptions of a deny rule they match no caller, and
//! that is a warning. Among the principals that a deny rule denies, they are an error: the rule would not deny them.

use crate::policy::federated::MemberDoubt;

/// A kind of identifier that matches no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmatched {
    /// `projectOwner:P`, `projectEditor:P`, `projectViewer:P`: the convenience values of Cloud Storage and BigQuery.
    ConvenienceValue,
    /// The service accounts, or the service agents, of a project, folder or organization.
    ServiceAccounts,
    /// All principals of a project, folder or organization.
    Container,
    /// Workloads of a Kubernetes namespace, service account or cluster.
    Kubernetes,
    /// All accounts of a Cloud Identity or Workspace customer.
    Customer,
    /// Identities of agents.
    Agent,
    /// The spelling of deny policies for what an allow policy spells in another way.
    DenySpelling,
}

const CONVENIENCE_VALUES: [(&str, &str); 3] = [
    ("projectOwner:", "roles/owner"),
    ("projectEditor:", "roles/editor"),
    ("projectViewer:", "roles/viewer"),
];

/// The spellings of deny policies, and those of allow policies.
const DENY_SPELLINGS: [(&str, &str); 3] = [
    ("principal://goog/subject/", "user:"),
    ("principalSet://goog/group/", "group:"),
    ("principal://iam.googleapis.com/projects/-/serviceAccounts/", "serviceAccount:"),
];
const EVERYBODY: &str = "principalSet://goog/public:all";

impl Unmatched {
    /// Reads an identifier; `None` for any other text.
    pub(in crate::policy) fn parse(text: &str) -> Option<Self> {
        let is_convenient = |(prefix, _): &(&str, &str)| text.strip_prefix(prefix).is_some_and(is_word);
        if CONVENIENCE_VALUES.iter().any(is_convenient) {
            return Some(Self::ConvenienceValue);
        }
        let is_deny =
            |(prefix, _): &(&str, &str)| text.strip_prefix(prefix).is_some_and(|email| email.contains('@'));
        if text == EVERYBODY || DENY_SPELLINGS.iter().any(is_deny) {
            return Some(Self::DenySpelling);
        }
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_once('/')?;
        let segments: Vec<&str> = path.split('/').collect();
        match (scheme, authority, segments.as_slice()) {
            ("principalSet", "cloudresourcemanager.googleapis.com", [collection, id, rest @ ..])
                if matches!(*collection, "projects" | "folders" | "organizations") && is_word(id) =>
            {
                match rest {
                    [] => Some(Self::Container),
                    ["type", kind] if is_word(kind) => Some(Self::ServiceAccounts),
                    _ => None,
                }
            }
            ("principalSet", "goog", ["cloudIdentityCustomerId", id]) if is_word(id) => Some(Self::Customer),
            ("principalSet", "iam.googleapis.com", ["locations", "global", "workspace", id])
                if is_word(id) =>
            {
                Some(Self::Customer)
            }
            (
                "principalSet",
                "iam.googleapis.com",
                ["projects", project, "locations", "global", "workloadIdentityPools", pool, rest @ ..],
            ) if is_word(project) && is_word(pool) => match rest {
                ["namespace" | "kubernetes.serviceaccount.uid", value] if is_word(value) => {
                    Some(Self::Kubernetes)
                }
                ["kubernetes.cluster", "https:", "", host, _, ..] if is_word(host) => Some(Self::Kubernetes),
                _ => None,
            },
            ("principal" | "principalSet", authority, [_, ..])
                if authority.starts_with("agents.") && authority.ends_with(".id.goog") =>
            {
                Some(Self::Agent)
            }
            _ => None,
        }
    }

    /// Whether deny policies write such identifiers.
    pub(in crate::policy) fn is_of_deny_policies(self) -> bool {
        !matches!(self, Self::ConvenienceValue | Self::DenySpelling)
    }

    /// Why it matches no caller, and what to write. `text` is the identifier.
    pub(in crate::policy) fn doubt(self, text: &str) -> MemberDoubt {
        let (why, help) = match self {
            Self::ConvenienceValue => {
                let found = CONVENIENCE_VALUES.iter().find(|(prefix, _)| text.starts_with(prefix));
                let role = found.map_or("roles/owner", |(_, role)| *role);
                let why = format!("which principals hold `{role}` on a project is not looked up");
                return (matches_no_caller(&why), "bind the role to the members themselves".to_owned());
            }
            Self::DenySpelling => {
                let found =
                    DENY_SPELLINGS.iter().find_map(|(deny, allow)| Some((text.strip_prefix(deny)?, allow)));
                let written = found.map_or("allUsers".to_owned(), |(email, allow)| format!("{allow}{email}"));
                return (
                    matches_no_caller("this is how deny policies spell it"),
                    format!("write `{written}`"),
                );
            }
            Self::ServiceAccounts => (
                "which service accounts are in such a set is not known here",
                "name each one by its email, `serviceAccount:EMAIL` in an allow policy",
            ),
            Self::Container => (
                "which principals belong to a project, folder or organization is not known here",
                "name them, or a group that they are in",
            ),
            Self::Kubernetes => (
                "no token tells the namespace or the cluster that such a set is made by",
                "name each one as `principal://…/subject/ns/NAMESPACE/sa/SERVICE_ACCOUNT`",
            ),
            Self::Customer => (
                "which accounts a customer has is not known here",
                "name them, or a group that they are in; a binding may name their `domain:`",
            ),
            Self::Agent => {
                ("no issuer has callers of this kind", "name the identities that your issuers know")
            }
        };
        (matches_no_caller(why), help.to_owned())
    }
}

fn matches_no_caller(why: &str) -> String {
    format!("matches no caller: {why}")
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model::member::Member;

    /// What the page on principal identifiers documents and no caller can be.
    #[test]
    fn documented_identifiers_that_no_caller_can_be_are_known_with_the_reason() {
        let told: String = [
            "projectOwner:demo",
            "projectEditor:example.com:demo",
            "projectViewer:demo",
            "principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAccount",
            "principalSet://cloudresourcemanager.googleapis.com/folders/1/type/ServiceAgent",
            "principalSet://cloudresourcemanager.googleapis.com/organizations/1",
            "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/demo.svc.id.goog/namespace/ops",
            "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/demo.svc.id.goog/kubernetes.serviceaccount.uid/0d6a2b5e-1111",
            "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/demo.svc.id.goog/kubernetes.cluster/https://container.googleapis.com/v1/projects/demo/locations/eu/clusters/c",
            "principalSet://goog/cloudIdentityCustomerId/C01abc35",
            "principalSet://iam.googleapis.com/locations/global/workspace/C01abc35",
            "principal://agents.global.org-7.system.id.goog/resources/aiplatform/projects/1/locations/eu/reasoningEngines/r",
            "principalSet://goog/public:all",
            "principal://goog/subject/ana@example.com",
            "principalSet://goog/group/ops@example.com",
            "principal://iam.googleapis.com/projects/-/serviceAccounts/ci@demo.iam.gserviceaccount.com",
        ]
        .iter()
        .map(|text| {
            let member = Member::parse(text).unwrap_or_else(|error| panic!("{text}: {}", error.message));
            assert_eq!(member.identifier(), None, "{text}");
            let (message, help) = member.doubt().unwrap();
            format!("{text}\n  {message}\n  help: {help}\n")
        })
        .collect();
        insta::assert_snapshot!(told);
    }

    /// What follows the name of an attribute or a group is a value, whatever it looks like.
    #[test]
    fn values_of_a_pool_are_not_taken_for_such_identifiers() {
        const POOL: &str =
            "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/mesh";
        for text in [
            &format!("{POOL}/attribute.path/namespace/ops"),
            &format!("{POOL}/group/kubernetes.cluster/https://container.googleapis.com/c"),
            &format!("{POOL}/*"),
            "user:projectOwner:demo@example.com",
        ] {
            assert_eq!(Unmatched::parse(text), None, "{text}");
        }
        for text in [
            &format!("{POOL}/namespace"),
            &format!("{POOL}/namespace/"),
            &format!("{POOL}/namespaces/ops"),
            "projectOwner:",
            "projectOwners:demo",
            "principalSet://cloudresourcemanager.googleapis.com/project/1",
            "principalSet://cloudresourcemanager.googleapis.com/projects/1/typ/ServiceAgent",
            "principalSet://goog/public",
        ] {
            assert!(Member::parse(text).is_err(), "{text}");
        }
    }
}
