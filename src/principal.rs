//! Identities in IAM's words: `user:ana@example.com`, `serviceAccount:ci@p.iam.gserviceaccount.com`,
//! `principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/ana`.
//!
//! Authentication makes principals out of verified claims; policy compares them with the members of bindings. Both
//! go through the constructors here, so that both write one identity in one way
//! (<https://cloud.google.com/iam/docs/principal-identifiers>).

pub(crate) mod caller;
pub(crate) mod confirmation;
pub(crate) mod scopes;
pub(crate) mod sets;
pub(crate) mod value;

pub use self::caller::Caller;
pub use self::confirmation::{BoundKey, Confirmation, DpopRule};
pub use self::scopes::Scopes;
pub use self::sets::PrincipalSets;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A principal identifier in its canonical spelling. Emails are in lower case: Google compares them without regard
/// to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Principal(Arc<str>);

/// Why a text is not an email address that a principal can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an email address: it needs exactly one `@` with printable ASCII, no spaces and no `:` or `/` around it"
)]
pub struct NotAnEmail;

/// Why a text is not a principal that a caller can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPrincipal {
    /// No caller is of this kind.
    #[error("a caller is a `user:`, a `serviceAccount:` or a `principal://`")]
    UnknownKind,
    /// The text behind the kind is not an email.
    #[error(transparent)]
    NotAnEmail(#[from] NotAnEmail),
    /// A caller with this email has another identifier.
    #[error("with that email, a caller is `{0}`")]
    OtherKind(Principal),
    /// The pool or the subject is missing.
    #[error("it has to name a pool and, behind `/subject/`, a subject")]
    NoSubject,
}

/// Whether a text can name an identity pool: what principals of it are called begins with it, in policies, logs and the
/// header that backends read.
pub fn is_pool_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    // What follows such a segment in a member is a value: the name of a pool ends before it.
    let is_marker =
        |segment: &str| matches!(segment, "group" | "subject") || segment.starts_with("attribute.");
    text.starts_with("iam.googleapis.com/")
        && !text.ends_with('/')
        && text.bytes().all(plain)
        && !text.split('/').any(is_marker)
}

impl Principal {
    /// Reads the identifier of a possible caller: as authentication writes it, and policies.
    ///
    /// # Errors
    /// A text that authentication never gives a caller as their name.
    pub fn parse(text: &str) -> Result<Self, NotAPrincipal> {
        if let Some(rest) = text.strip_prefix("principal://") {
            let plain = |part: &str| part.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            let Some((pool, subject)) = rest.split_once("/subject/") else {
                return Err(NotAPrincipal::NoSubject);
            };
            return match value::decoded(subject) {
                Some(subject) if !pool.is_empty() && !subject.is_empty() && plain(pool) => {
                    Ok(Self::subject(pool, &subject))
                }
                _ => Err(NotAPrincipal::NoSubject),
            };
        }
        let email = text.strip_prefix("user:").or_else(|| text.strip_prefix("serviceAccount:"));
        let principal = Self::from_email(email.ok_or(NotAPrincipal::UnknownKind)?)?;
        let same_kind = principal.as_str().split_once(':').map(|(kind, _)| kind)
            == text.split_once(':').map(|(kind, _)| kind);
        if same_kind { Ok(principal) } else { Err(NotAPrincipal::OtherKind(principal)) }
    }

    /// The principal of an email address: a service account under `gserviceaccount.com`, else a user.
    ///
    /// # Errors
    /// Where the text is not exactly one local part, one `@` and one domain of plain ASCII.
    pub fn from_email(email: &str) -> Result<Self, NotAnEmail> {
        let email = canonical_email(email)?;
        let domain = domain_of(&email);
        let is_service_account = domain == "gserviceaccount.com" || domain.ends_with(".gserviceaccount.com");
        let kind = if is_service_account { "serviceAccount" } else { "user" };
        Ok(Self(format!("{kind}:{email}").into()))
    }

    /// `user:EMAIL`, whatever the domain: how a policy writes it.
    ///
    /// # Errors
    /// As [`Principal::from_email`].
    pub fn user(email: &str) -> Result<Self, NotAnEmail> {
        Ok(Self(format!("user:{}", canonical_email(email)?).into()))
    }

    /// `serviceAccount:EMAIL`.
    ///
    /// # Errors
    /// As [`Principal::from_email`].
    pub fn service_account(email: &str) -> Result<Self, NotAnEmail> {
        Ok(Self(format!("serviceAccount:{}", canonical_email(email)?).into()))
    }

    /// `group:EMAIL`.
    ///
    /// # Errors
    /// As [`Principal::from_email`].
    pub fn group(email: &str) -> Result<Self, NotAnEmail> {
        Ok(Self(format!("group:{}", canonical_email(email)?).into()))
    }

    /// `principal://POOL/subject/SUBJECT`, for a federated identity. `pool` is the name of a workforce or workload
    /// identity pool, beginning with `iam.googleapis.com/`. `subject` is any text; in the identifier, what is not printable
    /// ASCII is percent-encoded, and so is `%`.
    pub fn subject(pool: &str, subject: &str) -> Self {
        Self(format!("principal://{pool}/subject/{}", value::canonical(subject)).into())
    }

    /// `principalSet://POOL/PART/VALUE`: a set of the pool's identities. `part` is `group` or `attribute.NAME`, `value` any
    /// text, written as in [`Principal::subject`].
    pub(crate) fn set(pool: &str, part: &str, value: &str) -> Arc<str> {
        format!("principalSet://{pool}/{part}/{}", value::canonical(value)).into()
    }

    /// The identity pool of a federated identity.
    pub fn pool(&self) -> Option<&str> {
        let (pool, _) = self.0.strip_prefix("principal://")?.split_once("/subject/")?;
        Some(pool)
    }

    /// The identifier as a policy writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The identifier with its subject as the token has it, not percent-encoded: any text.
    pub fn with_plain_subject(&self) -> Cow<'_, str> {
        let parts = self.0.strip_prefix("principal://").and_then(|rest| rest.split_once("/subject/"));
        match parts.and_then(|(pool, subject)| Some((pool, value::decoded(subject)?))) {
            Some((pool, subject)) => format!("principal://{pool}/subject/{subject}").into(),
            None => Cow::Borrowed(&*self.0),
        }
    }

    /// The email's domain in lower case, for users and service accounts.
    pub fn domain(&self) -> Option<&str> {
        let email = self.0.strip_prefix("user:").or_else(|| self.0.strip_prefix("serviceAccount:"))?;
        Some(domain_of(email))
    }

    /// The email, for users and service accounts.
    pub fn email(&self) -> Option<&str> {
        self.0.strip_prefix("user:").or_else(|| self.0.strip_prefix("serviceAccount:"))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn canonical_email(email: &str) -> Result<String, NotAnEmail> {
    let (local, domain) = email.split_once('@').ok_or(NotAnEmail)?;
    // A second `@` would let `ana@example.com@evil.test` pass for either domain.
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'@' | b':' | b'/' | b'?'))
    };
    if plain(local) && plain(domain) { Ok(email.to_ascii_lowercase()) } else { Err(NotAnEmail) }
}

fn domain_of(email: &str) -> &str {
    email.split_once('@').map_or("", |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_are_compared_without_case() {
        assert_eq!(Principal::from_email("Ana@Example.COM"), Principal::user("ana@example.com"));
    }

    #[test]
    fn service_accounts_are_told_by_their_domain() {
        let ci = Principal::from_email("ci@demo.iam.gserviceaccount.com").unwrap();
        assert_eq!(ci.as_str(), "serviceAccount:ci@demo.iam.gserviceaccount.com");
        let fake = Principal::from_email("ci@evilgserviceaccount.com").unwrap();
        assert_eq!(fake.as_str(), "user:ci@evilgserviceaccount.com");
    }

    #[test]
    fn principals_of_authentication_are_read_back() {
        let pool = "iam.googleapis.com/locations/global/workforcePools/staff";
        for principal in [
            Principal::from_email("Ana@Example.COM").unwrap(),
            Principal::from_email("ci@demo.iam.gserviceaccount.com").unwrap(),
            Principal::subject(pool, "ana/with a slash"),
            Principal::subject(pool, "jürgen"),
            Principal::subject(pool, "100%25 *"),
        ] {
            assert_eq!(Principal::parse(principal.as_str()), Ok(principal));
        }
        assert_eq!(Principal::subject(pool, "a/subject/b").pool(), Some(pool));
        for subject in ["jürgen", "a%20b", " a", "*", "ana"] {
            let plain = format!("principal://{pool}/subject/{subject}");
            assert_eq!(Principal::subject(pool, subject).with_plain_subject(), plain);
        }
        let ana = Principal::user("ana%41@example.com").unwrap();
        assert_eq!(ana.with_plain_subject(), ana.as_str());
        assert_eq!(Principal::user("ana@example.com").unwrap().pool(), None);
    }

    #[test]
    fn a_name_that_no_caller_can_have_is_not_a_principal() {
        let ci = Principal::service_account("ci@demo.iam.gserviceaccount.com").unwrap();
        let cases = [
            ("ana@example.com", NotAPrincipal::UnknownKind),
            ("group:oncall@example.com", NotAPrincipal::UnknownKind),
            ("allUsers", NotAPrincipal::UnknownKind),
            ("user:ana", NotAPrincipal::NotAnEmail(NotAnEmail)),
            ("user:ci@demo.iam.gserviceaccount.com", NotAPrincipal::OtherKind(ci)),
            ("principal://iam.googleapis.com/subject/", NotAPrincipal::NoSubject),
            ("principal:///subject/x", NotAPrincipal::NoSubject),
            ("principal://iam.googleapis.com/x", NotAPrincipal::NoSubject),
        ];
        for (text, error) in cases {
            assert_eq!(Principal::parse(text), Err(error), "{text}");
        }
        let someone = Principal::user("x@example.com").unwrap();
        assert_eq!(Principal::parse("serviceAccount:x@example.com"), Err(NotAPrincipal::OtherKind(someone)));
    }

    #[test]
    fn a_second_at_sign_is_refused() {
        for email in
            ["a@b.c@d.e", "@b.c", "a@", "a", "", "a b@c.d", "a@b c", "a@\u{212a}.c", "a:b@c.d", "a@b/c"]
        {
            assert_eq!(Principal::from_email(email), Err(NotAnEmail), "{email:?}");
        }
    }
}
