//! The principals of deny rules, in the spelling of IAM v2
//! (<https://cloud.google.com/iam/docs/principal-identifiers#v2>).

use crate::diagnostic::{Report, Span};
use crate::document::Node;
use crate::policy::federated::MemberDoubt;
use crate::policy::model::context::Context;
use crate::policy::model::located::Location;
use crate::policy::model::member::{ALL_USERS, Member};
use crate::policy::model::unmatched::Unmatched;
use crate::principal::{NotAnEmail, Principal};

const USER: &str = "principal://goog/subject/";
const SERVICE_ACCOUNT: &str = "principal://iam.googleapis.com/projects/-/serviceAccounts/";
const GROUP: &str = "principalSet://goog/group/";
const EVERYBODY: &str = "principalSet://goog/public:all";

/// A principal of a deny rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct DenyPrincipal {
    /// The canonical identifier that callers are compared with; `None` where it matches no caller: it is deleted.
    pub(in crate::policy) identifier: Option<Box<str>>,
    pub(in crate::policy) text: Box<str>,
    pub(in crate::policy) location: Location,
}

/// Which list of a rule a principal is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PrincipalList {
    /// The denied principals. One that matches no caller leaves allowed what the rule is to deny: an error.
    Denied,
    /// The exceptions. One that matches no caller denies more than was meant: a warning.
    Excepted,
}

/// Reads the list of principals that a rule denies.
pub(super) fn read_denied(node: &Node, context: Context<'_>, report: &mut Report) -> Vec<DenyPrincipal> {
    let texts = node.strings(report);
    if texts.is_empty() {
        report
            .error(&node.span, "the list of principals is empty")
            .help("name the principals to deny, `principalSet://goog/public:all` for everybody");
    }
    let read = |(text, item): (&str, &Node)| {
        let reader = PrincipalReader { text, span: &item.span, list: PrincipalList::Denied, context };
        reader.written(report)
    };
    texts.into_iter().map(read).collect()
}

/// Reads the list of principals that a rule excepts.
pub(super) fn read_excepted(node: &Node, context: Context<'_>, report: &mut Report) -> Vec<DenyPrincipal> {
    let mut found = Vec::new();
    for (text, item) in node.strings(report) {
        let reader = PrincipalReader { text, span: &item.span, list: PrincipalList::Excepted, context };
        let written = reader.written(report);
        // google/iam/v2/deny.proto does not allow it in `exception_principals`.
        if written.identifier.as_deref() == Some(ALL_USERS) {
            report
                .error(&item.span, "a rule cannot except everybody: it would deny no caller")
                .help("remove the rule, or name the principals to except");
            continue;
        }
        found.push(written);
    }
    found
}

/// Reads one principal.
struct PrincipalReader<'r> {
    text: &'r str,
    span: &'r Span,
    list: PrincipalList,
    context: Context<'r>,
}

impl PrincipalReader<'_> {
    fn written(&self, report: &mut Report) -> DenyPrincipal {
        DenyPrincipal {
            identifier: self.identifier(report).map(String::into_boxed_str),
            text: self.text.into(),
            location: Location::of(self.span),
        }
    }

    /// The canonical identifier; `None` where the principal is deleted or wrong.
    fn identifier(&self, report: &mut Report) -> Option<String> {
        let text = self.text;
        if text == EVERYBODY {
            return Some(ALL_USERS.to_owned());
        }
        if text.strip_prefix("deleted:").is_some_and(is_deleted) {
            return None;
        }
        if let Some(email) = text.strip_prefix(USER) {
            return self.account(USER, email, report);
        }
        if let Some(email) = text.strip_prefix(SERVICE_ACCOUNT) {
            return self.account(SERVICE_ACCOUNT, email, report);
        }
        if let Some(email) = text.strip_prefix(GROUP) {
            return self.group(email, report);
        }
        if let Some(kind) = Unmatched::parse(text).filter(|kind| kind.is_of_deny_policies()) {
            let (doubt, help) = kind.doubt(text);
            self.tell(format!("`{text}` {doubt}"), help, report);
            return None;
        }
        let is_federated = text.starts_with("principal://iam.googleapis.com/")
            || text.starts_with("principalSet://iam.googleapis.com/");
        if is_federated
            && let Ok(Member::Identity(canonical) | Member::PrincipalSet(canonical)) = Member::parse(text)
        {
            return self.possible(canonical.into(), report);
        }
        self.refuse(report);
        None
    }

    /// A user or a service account, by the prefix of either.
    fn account(&self, prefix: &str, email: &str, report: &mut Report) -> Option<String> {
        let is_user = prefix == USER;
        let written = if is_user { Principal::user(email) } else { Principal::service_account(email) };
        let written = self.canonical(written, report)?;
        // Callers with this email have the other kind of identifier. The rule would not match them, and would let them
        // pass.
        if Principal::from_email(email).is_ok_and(|caller| caller.as_str() != written) {
            let (what, prefix) = if is_user {
                ("an email under `gserviceaccount.com` is a service account", SERVICE_ACCOUNT)
            } else {
                ("the email of a service account ends in `gserviceaccount.com`", USER)
            };
            let message = format!("`{}` matches no caller: {what}", self.text);
            self.tell(message, format!("write `{prefix}{email}`"), report);
            return None;
        }
        self.possible(written, report)
    }

    /// A group, whose members must be known down to the last.
    fn group(&self, email: &str, report: &mut Report) -> Option<String> {
        let group = self.canonical(Principal::group(email), report)?;
        let Context { groups, pools, .. } = self.context;
        if let Some(missing) = groups.missing_within(&group, pools) {
            let message = if missing == group {
                format!("`{group}` has no entry in groups.yaml: it would have no members here")
            } else {
                format!(
                    "`{missing}`, which is in `{group}`, has no entry in groups.yaml: it would have no members here"
                )
            };
            // Without a configuration, an issuer may assert the group in a claim.
            if pools.asserts_group(missing).is_none() {
                report.warning(self.span, message).help(
                    "list its members in groups.yaml, unless an issuer asserts it (`groups` of the configuration)",
                );
            } else {
                self.tell(message, "list its members in groups.yaml".to_owned(), report);
            }
        } else if let Some((member, doubt)) = groups.doubtful_within(&group, pools) {
            let message = format!("`{member}`, which is in `{group}`, {doubt}");
            self.tell(message, "fix or remove it in groups.yaml".to_owned(), report);
        }
        Some(group)
    }

    fn canonical(&self, parsed: Result<Principal, NotAnEmail>, report: &mut Report) -> Option<String> {
        match parsed {
            Ok(principal) => Some(principal.as_str().to_owned()),
            Err(error) => {
                report
                    .error(self.span, format!("`{}` ends in something that is {error}", self.text))
                    .help("write the whole address");
                None
            }
        }
    }

    /// The identifier of a well spelled principal, unless no caller can have it.
    fn possible(&self, identifier: String, report: &mut Report) -> Option<String> {
        let member = Member::parse(&identifier).ok()?;
        let about = |(doubt, help): MemberDoubt| (format!("`{}` {doubt}", self.text), help);
        if let Some((message, help)) = member.doubt().map(about) {
            // Misspelt whatever the configuration is: it is left out, with an error or a warning.
            self.tell(message, help, report);
            return None;
        }
        if let Some((message, help)) = self.context.pools.doubt(&identifier).map(about) {
            self.tell(message, help, report);
        } else if let Some((message, help)) = member.caution().map(about) {
            report.warning(self.span, message).help(help);
        }
        Some(identifier)
    }

    /// Tells of a principal that matches no caller: an error where it was to be denied.
    fn tell(&self, message: String, help: String, report: &mut Report) {
        match self.list {
            PrincipalList::Denied => report.error(self.span, message).help(help),
            PrincipalList::Excepted => report.warning(self.span, message).help(help),
        };
    }

    /// Tells of a spelling that deny rules do not have.
    fn refuse(&self, report: &mut Report) {
        let text = self.text;
        let diagnostic = report.error(
            self.span,
            format!("`{text}` is not a principal that a deny rule can be evaluated for here"),
        );
        match text.split_once(':') {
            Some(("user", email)) => diagnostic.help(format!("deny rules write a user `{USER}{email}`")),
            Some(("serviceAccount", email)) => {
                diagnostic.help(format!("deny rules write a service account `{SERVICE_ACCOUNT}{email}`"))
            }
            Some(("group", email)) => diagnostic.help(format!("deny rules write a group `{GROUP}{email}`")),
            _ => diagnostic.help(format!(
                "write `{USER}EMAIL`, `{GROUP}EMAIL`, `{SERVICE_ACCOUNT}EMAIL`, a federated `principal://` or \
                 `principalSet://`, or `principalSet://goog/public:all`"
            )),
        };
    }
}

/// Whether the text behind `deleted:` names one identity or group that once existed. A text in another spelling may
/// have been meant for a principal that still exists, so it is an error.
fn is_deleted(text: &str) -> bool {
    if let Some((email, uid)) = text.split_once("?uid=") {
        let email = [USER, GROUP, SERVICE_ACCOUNT].into_iter().find_map(|kind| email.strip_prefix(kind));
        let is_number = !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_digit());
        return is_number && email.is_some_and(|email| Principal::user(email).is_ok());
    }
    // Federated identities have no uid.
    let is_federated = text.starts_with("principal://iam.") || text.starts_with("principalSet://iam.");
    is_federated && matches!(Member::parse(text), Ok(Member::Identity(_) | Member::PrincipalSet(_)))
}

/// A caller as IAM v2 spells them.
pub fn principal_as_written(principal: &Principal) -> String {
    let text = principal.as_str();
    match text.split_once(':') {
        Some(("user", email)) => format!("{USER}{email}"),
        Some(("serviceAccount", email)) => format!("{SERVICE_ACCOUNT}{email}"),
        _ => text.to_owned(),
    }
}
