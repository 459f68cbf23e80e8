//! The members of bindings and groups: every form of google/iam/v1/policy.proto, `Binding.members`, and of
//! <https://cloud.google.com/iam/docs/principal-identifiers>.
//!
//! A member becomes the canonical identifier that a caller is compared with, character by character. Emails go
//! through [`Principal`], which callers are made with as well, so that case makes no difference.

use std::fmt;

use crate::document::nearest;
use crate::policy::federated::{Federated, MemberDoubt, canonical_identifier};
use crate::policy::model::unmatched::Unmatched;
use crate::policy::spelling::has_encoded_octet;
use crate::principal::{NotAnEmail, Principal};

/// The identifier of everybody, with or without a credential.
pub const ALL_USERS: &str = "allUsers";
/// The identifier of every user and service account with a valid credential.
pub const ALL_AUTHENTICATED_USERS: &str = "allAuthenticatedUsers";
/// What the names of identities begin with. All other members stand for sets of them.
pub(in crate::policy) const IDENTITIES: [&str; 3] = ["user:", "serviceAccount:", "principal://"];

/// A member of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// Everybody.
    AllUsers,
    /// Every user and service account with a valid credential; not federated identities.
    AllAuthenticatedUsers,
    /// One identity: `user:`, `serviceAccount:` or `principal://`, in canonical spelling.
    Identity(Box<str>),
    /// The members of a group of `groups.yaml`, or of the caller's claims.
    Group(Principal),
    /// A set of federated identities, as text.
    PrincipalSet(Box<str>),
    /// Every user whose email is under this domain (in lower case).
    Domain(Box<str>),
    /// A deleted identity. It matches no caller, whatever caller has its email today.
    Deleted,
    /// An identifier of IAM that no caller can be, as text.
    Unmatched(Unmatched, Box<str>),
}

/// Why a text is not a member, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAMember {
    /// What is wrong, in a diagnostic's words.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
}

const PREFIXES: [&str; 5] = ["user", "serviceAccount", "group", "domain", "deleted"];

impl Member {
    /// Reads a member.
    ///
    /// # Errors
    /// An unknown form, or a known one whose value cannot be right.
    pub fn parse(text: &str) -> Result<Self, NotAMember> {
        match text {
            ALL_USERS => return Ok(Self::AllUsers),
            ALL_AUTHENTICATED_USERS => return Ok(Self::AllAuthenticatedUsers),
            _ => {}
        }
        if let Some(kind) = Unmatched::parse(text) {
            return Ok(Self::Unmatched(kind, text.into()));
        }
        if text.starts_with("principal://") {
            return federated(text, &["/subject/"]).map(Self::Identity);
        }
        if text.starts_with("principalSet://") {
            let parts = ["/group/", "/attribute.", "/*"];
            return federated(text, &parts).map(Self::PrincipalSet);
        }
        let Some((prefix, value)) = text.split_once(':') else {
            return Err(without_prefix(text));
        };
        let identity = |principal: Principal| Self::Identity(principal.as_str().into());
        match prefix {
            "user" => email(text, Principal::user(value)).map(identity),
            // Workload identity of GKE: it has no email, and no credential that opgate accepts names it.
            "serviceAccount" if value.ends_with(']') && value.contains(".svc.id.goog[") => {
                Ok(Self::Identity(text.into()))
            }
            "serviceAccount" => email(text, Principal::service_account(value)).map(identity),
            "group" => email(text, Principal::group(value)).map(Self::Group),
            "domain" => domain(text, value).map(Self::Domain),
            "deleted" => deleted(text, value),
            _ => Err(unknown_prefix(text, prefix)),
        }
    }

    /// The identifier that a caller is looked up with, or `None` where the member matches no caller.
    pub fn identifier(&self) -> Option<Identifier<'_>> {
        // A token may hold `*` as a value. That value must not match what is meant for everybody.
        if self.is_nobody() {
            return None;
        }
        let text = match self {
            Self::AllUsers => ALL_USERS,
            Self::AllAuthenticatedUsers => ALL_AUTHENTICATED_USERS,
            Self::Identity(text) | Self::PrincipalSet(text) => text,
            Self::Group(group) => group.as_str(),
            Self::Domain(domain) => return Some(Identifier { kind: "domain:", text: domain }),
            Self::Deleted | Self::Unmatched(..) => return None,
        };
        Some(Identifier { kind: "", text })
    }

    /// Why a well spelled member matches no caller, with the next step.
    pub(in crate::policy) fn doubt(&self) -> Option<MemberDoubt> {
        let (message, help) = match self {
            Self::Identity(text) | Self::PrincipalSet(text) if text.starts_with("principal") => {
                return Federated::parse(text)?.doubt();
            }
            Self::Unmatched(kind, text) => return Some(kind.doubt(text)),
            Self::Identity(text) => doubt_of_email(text)?,
            Self::Domain(domain) if is_service_account_domain(domain) => (
                "matches no caller: a domain stands for its users, not for service accounts",
                "name each one as `serviceAccount:EMAIL`".to_owned(),
            ),
            _ => return None,
        };
        Some((message.to_owned(), help))
    }

    /// What to know of a member that a caller can be, though another was probably meant.
    pub(in crate::policy) fn caution(&self) -> Option<MemberDoubt> {
        match self {
            Self::Identity(text) | Self::PrincipalSet(text) => Federated::parse(text)?.caution(),
            _ => None,
        }
    }

    fn is_nobody(&self) -> bool {
        match self {
            Self::Identity(text) | Self::PrincipalSet(text) => {
                Federated::parse(text).is_some_and(|federated| federated.doubt().is_some())
                    || text.split_once(':').is_some_and(|(_, email)| email.starts_with("*@"))
            }
            _ => false,
        }
    }
}

/// Why no caller has this email, or this kind of identity with it.
fn doubt_of_email(text: &str) -> Option<(&'static str, String)> {
    let (kind, value) = text.split_once(':')?;
    if let Some(domain) = value.strip_prefix("*@") {
        let help = format!("write `domain:{domain}` in a binding, or name each user");
        return Some(("matches no caller: `*` is not a wildcard in an email", help));
    }
    if has_encoded_octet(value) {
        let help = "write the address as it is: nothing in it is percent-decoded".to_owned();
        return Some(("matches no caller: no email is percent-encoded", help));
    }
    let service_account = value.split_once('@').is_some_and(|(_, domain)| is_service_account_domain(domain));
    match kind {
        "user" if service_account => Some((
            "matches no caller: an email under `gserviceaccount.com` is a service account",
            format!("write `serviceAccount:{value}`"),
        )),
        "serviceAccount" if value.ends_with(']') => Some((
            "matches no caller: no credential that opgate accepts names a Kubernetes service account",
            "bind the `principal://` of its workload identity pool".to_owned(),
        )),
        "serviceAccount" if !service_account => Some((
            "matches no caller: the email of a service account ends in `gserviceaccount.com`",
            format!("write `user:{value}`"),
        )),
        _ => None,
    }
}

/// The canonical spelling of a member, in two parts so that a domain needs no second string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identifier<'m> {
    kind: &'static str,
    text: &'m str,
}

impl<'m> Identifier<'m> {
    /// The text after `domain:`, or the whole of any other identifier.
    pub fn text(self) -> &'m str {
        self.text
    }

    /// The domain, where the identifier is one.
    pub fn domain(self) -> Option<&'m str> {
        (!self.kind.is_empty()).then_some(self.text)
    }
}

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.kind, self.text)
    }
}

fn is_service_account_domain(domain: &str) -> bool {
    domain == "gserviceaccount.com" || domain.ends_with(".gserviceaccount.com")
}

fn email(text: &str, parsed: Result<Principal, NotAnEmail>) -> Result<Principal, NotAMember> {
    parsed.map_err(|error| NotAMember {
        message: format!("`{text}` is {error}"),
        help: Some(if text.contains("?uid=") {
            format!("a deleted identity is written `deleted:{text}`; it matches no caller")
        } else {
            "write the whole address, for example `user:ana@example.com`".to_owned()
        }),
    })
}

fn domain(text: &str, value: &str) -> Result<Box<str>, NotAMember> {
    let plain = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if value.contains('.') && value.split('.').all(plain) {
        return Ok(value.to_ascii_lowercase().into());
    }
    Err(NotAMember {
        message: format!("`{text}` names no domain"),
        help: Some("write `domain:example.com`".to_owned()),
    })
}

/// `deleted:user:ana@example.com?uid=123`, and the federated forms, which carry no uid.
fn deleted(text: &str, value: &str) -> Result<Member, NotAMember> {
    if value.starts_with("principal://iam.") || value.starts_with("principalSet://iam.") {
        return Member::parse(value).map(|_| Member::Deleted);
    }
    let uid = |uid: &str| !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = value.split_once("?uid=").filter(|(_, digits)| uid(digits));
    match parsed.map(|(member, _)| Member::parse(member)) {
        Some(Ok(Member::Identity(_) | Member::Group(_))) => Ok(Member::Deleted),
        Some(Err(error)) => Err(error),
        _ => Err(NotAMember {
            message: format!("`{text}` is not a deleted member"),
            help: Some(
                "write `deleted:user:EMAIL?uid=NUMBER`, or `serviceAccount` or `group` for `user`".to_owned(),
            ),
        }),
    }
}

fn federated(text: &str, parts: &[&str]) -> Result<Box<str>, NotAMember> {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let has_part = parts.iter().any(|part| match rest.split_once(part) {
        // `/*` ends the identifier; after the others comes a value.
        Some((pool, value)) => !pool.is_empty() && (value.is_empty() == (*part == "/*")),
        None => false,
    });
    if has_part && rest.starts_with(|first: char| first.is_ascii_lowercase()) && !has_odd_space(text) {
        return Ok(canonical_identifier(text).into());
    }
    let help = match parts {
        ["/subject/"] => {
            "write `principal://iam.googleapis.com/locations/global/workforcePools/POOL/subject/SUBJECT`"
        }
        _ => {
            "write `principalSet://iam.googleapis.com/locations/global/workforcePools/POOL/group/GROUP`, \
             `…/attribute.NAME/VALUE` or `…/*`"
        }
    };
    Err(NotAMember {
        message: format!("`{text}` is not a principal identifier that IAM knows"),
        help: Some(help.to_owned()),
    })
}

/// Whether a blank stands where none is meant: in the pool, or at the end. In a value it stands for itself; other white
/// space of a value is percent-encoded.
fn has_odd_space(text: &str) -> bool {
    let pool = Federated::parse(text).map_or(text, |federated| federated.pool);
    pool.contains(char::is_whitespace) || text.trim() != text || text.contains(char::is_control)
}

fn without_prefix(text: &str) -> NotAMember {
    let help = match nearest(text, [ALL_USERS, ALL_AUTHENTICATED_USERS].into_iter()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if text.contains('@') => {
            format!("say what it is: `user:{text}`, `serviceAccount:{text}` or `group:{text}`")
        }
        None => kinds(),
    };
    NotAMember { message: format!("`{text}` is not a member"), help: Some(help) }
}

fn unknown_prefix(text: &str, prefix: &str) -> NotAMember {
    let help = match nearest(prefix, PREFIXES.into_iter()) {
        Some(name) => format!("did you mean `{name}:`?"),
        None => kinds(),
    };
    NotAMember { message: format!("`{text}` is not a member"), help: Some(help) }
}

fn kinds() -> String {
    "a member is `user:EMAIL`, `serviceAccount:EMAIL`, `group:EMAIL`, `domain:DOMAIN`, `principal://…`, \
     `principalSet://…`, `deleted:…`, `allAuthenticatedUsers` or `allUsers`"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identifier(text: &str) -> Option<String> {
        let member = Member::parse(text).unwrap_or_else(|error| panic!("{text}: {}", error.message));
        member.identifier().map(|identifier| identifier.to_string())
    }

    #[test]
    fn every_form_has_one_spelling() {
        for (text, expected) in [
            ("allUsers", "allUsers"),
            ("allAuthenticatedUsers", "allAuthenticatedUsers"),
            ("user:Ana@Example.com", "user:ana@example.com"),
            (
                "serviceAccount:CI@demo.iam.gserviceaccount.com",
                "serviceAccount:ci@demo.iam.gserviceaccount.com",
            ),
            ("group:Oncall@example.COM", "group:oncall@example.com"),
            ("domain:Example.COM", "domain:example.com"),
            (
                "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/Ana",
                "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/Ana",
            ),
            (
                "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*",
                "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*",
            ),
            (
                "principalSet://iam.googleapis.com/x/group/Domain%20Users",
                "principalSet://iam.googleapis.com/x/group/Domain Users",
            ),
            (
                "principalSet://iam.googleapis.com/x/group/Büro",
                "principalSet://iam.googleapis.com/x/group/B%C3%BCro",
            ),
            (
                "principal://iam.googleapis.com/x/subject/j%c3%bcrgen",
                "principal://iam.googleapis.com/x/subject/j%C3%BCrgen",
            ),
        ] {
            assert_eq!(identifier(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn deleted_members_have_no_identifier() {
        for text in [
            "deleted:user:ana@example.com?uid=123456789012345678901",
            "deleted:serviceAccount:ci@demo.iam.gserviceaccount.com?uid=1",
            "deleted:group:oncall@example.com?uid=1",
            "deleted:principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/ana",
            "deleted:principalSet://iam.googleapis.com/locations/global/workforcePools/staff/group/ops",
        ] {
            assert_eq!(identifier(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_reported_with_the_next_step() {
        let texts = [
            "ana@example.com",
            "allusers",
            "everybody",
            "",
            "users:ana@example.com",
            "serviceaccount:ci@demo.iam.gserviceaccount.com",
            "role:x",
            "user:ana",
            "user:ana@example.com@evil.test",
            "user:ana@example.com?uid=1",
            "domain:example",
            "domain:*.example.com",
            "deleted:user:ana@example.com",
            "deleted:allUsers?uid=1",
            "principal://iam.googleapis.com/locations/global/workforcePools/staff/ana",
            "principal://iam.googleapis.com/x/subject/",
            "principalSet://iam.googleapis.com/x",
            "principalSet://iam.googleapis.com/x y/group/ops",
            "principalSet://iam.googleapis.com/x/group/ops ",
        ];
        let told: String = texts
            .iter()
            .map(|text| {
                let error = Member::parse(text).unwrap_err();
                format!("{}\n  help: {}\n", error.message, error.help.unwrap_or_default())
            })
            .collect();
        insta::assert_snapshot!(told);
    }

    #[test]
    fn members_that_match_no_caller_are_reported() {
        let doubtful = [
            "user:ci@demo.iam.gserviceaccount.com",
            "serviceAccount:ana@example.com",
            "serviceAccount:demo.svc.id.goog[default/ci]",
            "domain:demo.iam.gserviceaccount.com",
        ];
        for text in doubtful {
            assert!(Member::parse(text).unwrap().doubt().is_some(), "{text}");
        }
        for text in ["user:ana@example.com", "serviceAccount:ci@demo.iam.gserviceaccount.com", "allUsers"] {
            assert_eq!(Member::parse(text).unwrap().doubt(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(deleted:)?(user|group|domain|principal|)(:|://)[ -~]{0,20}") {
            if let Ok(member) = Member::parse(&text)
                && let Some(identifier) = member.identifier()
            {
                // Reading the canonical spelling again changes nothing.
                prop_assert_eq!(Member::parse(&identifier.to_string()), Ok(member.clone()));
            }
        }
    }
}
