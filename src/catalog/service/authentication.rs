//! The authentication rules of a service file (google/api/auth.proto).

use crate::diagnostic::{Report, Span};
use crate::document::{Node, Spelling};

use super::name::{is_identifier, split_list};
use super::provider::{self, AuthenticationProvider, AuthenticationRequirement};

/// What a set of RPCs requires of credentials.
#[derive(Clone, Debug)]
pub struct AuthenticationRule {
    /// The RPCs it covers: any of these.
    pub selectors: Vec<Selector>,
    /// `oauth.canonical_scopes`: a token with any one of them will do.
    pub scopes: Vec<String>,
    /// Whether a request may come without a credential.
    pub allow_without_credential: bool,
    /// The providers of which a token has to be one's; empty for any issuer that the operator accepts.
    pub requirements: Vec<AuthenticationRequirement>,
    /// Where the selector is written.
    pub span: Span,
}

/// A pattern over qualified names (google/api/documentation.proto, `DocumentationRule.selector`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `*`: every RPC.
    All,
    /// `a.b.*`: every name below `a.b`. Holds `a.b.`, with the dot.
    Below(String),
    /// One name.
    Exact(String),
}

impl Selector {
    /// Whether it selects this RPC.
    pub(in crate::catalog) fn covers(&self, rpc: &str) -> bool {
        match self {
            Self::All => true,
            Self::Below(prefix) => rpc.starts_with(prefix.as_str()),
            Self::Exact(name) => rpc == name,
        }
    }
}

impl AuthenticationRule {
    /// Whether an RPC is among those it covers.
    pub fn covers(&self, rpc: &str) -> bool {
        self.selectors.iter().any(|selector| selector.covers(rpc))
    }
}

/// What a service file says of credentials.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthenticationSection {
    pub(super) providers: Vec<AuthenticationProvider>,
    pub(super) rules: Vec<AuthenticationRule>,
}

pub(super) fn read(node: &Node, report: &mut Report) -> AuthenticationSection {
    let Some(mut fields) = node.fields("`authentication`", Spelling::Proto, report) else {
        return AuthenticationSection::default();
    };
    let rules = fields.optional("rules").and_then(|rules| rules.list(report)).unwrap_or_default();
    let providers =
        fields.optional("providers").map(|node| provider::providers(node, report)).unwrap_or_default();
    fields.finish(report);
    let rules = rules.iter().filter_map(|node| read_rule(node, &providers, report)).collect();
    AuthenticationSection { providers, rules }
}

fn read_rule(
    node: &Node,
    providers: &[AuthenticationProvider],
    report: &mut Report,
) -> Option<AuthenticationRule> {
    let mut fields = node.fields("an authentication rule", Spelling::Proto, report)?;
    let selector = fields.required("selector", report);
    let scopes = fields.optional("oauth").map(|oauth| read_scopes(oauth, report)).unwrap_or_default();
    let allow_without_credential =
        fields.optional("allow_without_credential").and_then(|node| node.boolean(report)).unwrap_or(false);
    let requirements = match fields.optional("requirements") {
        Some(node) => provider::requirements(node, providers, report),
        None => Some(Vec::new()),
    };
    fields.finish(report);

    let selector = selector?;
    let selectors = read_selectors(selector, report)?;
    let span = selector.span.clone();
    Some(AuthenticationRule {
        selectors,
        scopes,
        allow_without_credential,
        requirements: requirements?,
        span,
    })
}

/// A comma-separated list of patterns. A rule with a bad pattern is left out whole: it is not known which RPCs it was
/// to cover.
pub(super) fn read_selectors(node: &Node, report: &mut Report) -> Option<Vec<Selector>> {
    let mut selectors = Vec::new();
    for pattern in node.string(report)?.split(',').map(str::trim) {
        let (names, selector) = match pattern.strip_suffix(".*") {
            Some(names) => (names, Selector::Below(format!("{names}."))),
            None => (pattern, Selector::Exact(pattern.to_owned())),
        };
        if pattern == "*" {
            selectors.push(Selector::All);
        } else if names.split('.').all(is_identifier) {
            selectors.push(selector);
        } else {
            report
                .error(&node.span, format!("`{pattern}` selects nothing"))
                .help("write a full name, `package.Service.*` for all below it, or `*` for all");
            return None;
        }
    }
    Some(selectors)
}

/// `canonical_scopes`: separated by commas, in published files by a line break too.
fn read_scopes(node: &Node, report: &mut Report) -> Vec<String> {
    let Some(mut fields) = node.fields("`oauth`", Spelling::Proto, report) else { return Vec::new() };
    let list = fields.optional("canonical_scopes");
    fields.finish(report);
    let Some(list) = list else { return Vec::new() };
    let text = list.string(report).unwrap_or_default();
    scopes_of(text, &list.span, report)
}

/// The scopes of a list, each once.
pub(in crate::catalog) fn scopes_of(text: &str, span: &Span, report: &mut Report) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in split_list(text) {
        if !scope.bytes().all(is_scope_byte) {
            report
                .error(span, format!("`{}` is not a scope", scope.escape_debug()))
                .help("write scopes in ASCII, with commas between them");
        } else if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

/// RFC 6749, section 3.3: printable ASCII without `"` and `\`. Scopes are quoted in `WWW-Authenticate`.
fn is_scope_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}
