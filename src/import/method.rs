//! A service as it was understood, before it is written.

use crate::diagnostic::Span;

/// A service and its methods.
#[derive(Clone, Debug)]
pub struct ImportedService {
    /// `name` of the google.api.Service.
    pub name: String,
    /// `title`, where the description has one.
    pub title: Option<String>,
    /// Whether its backends answer OPTIONS.
    pub allow_cors: bool,
    /// Whose tokens methods ask for.
    pub providers: Vec<Provider>,
    /// The text of its file, where that was a google.api.Service already.
    pub verbatim: Option<String>,
    /// Its methods, in the order of the description.
    pub methods: Vec<ImportedMethod>,
}

/// google.api.AuthProvider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What requirements call it.
    pub id: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: Option<String>,
    /// A token needs one of them in `aud`.
    pub audiences: Vec<String>,
}

/// google.api.AuthRequirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The provider.
    pub provider: String,
    /// The audiences in place of the provider's.
    pub audiences: Vec<String>,
}

/// What a method asks of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialRule {
    /// A valid token of any issuer.
    AnyToken,
    /// A token with any one of these scopes.
    Scopes(Vec<String>),
    /// A token of any one of these providers, with any one of these scopes, if there are any.
    Providers {
        /// The providers.
        requirements: Vec<Requirement>,
        /// The scopes.
        scopes: Vec<String>,
    },
    /// None has to be sent.
    Optional,
    /// What the service file says already.
    Written,
    /// What no rule can say: a person has to decide.
    Undecided,
}

/// A method.
#[derive(Clone, Debug)]
pub struct ImportedMethod {
    /// The full RPC name.
    pub selector: String,
    /// The path as the description has it.
    pub path: String,
    /// The HTTP method, in upper case; `*` for any.
    pub http_method: String,
    /// The path template.
    pub template: String,
    /// `body` of the http rule.
    pub body: Option<&'static str>,
    /// `body` of the iam rule.
    pub body_rule: Option<&'static str>,
    /// What it asks of credentials.
    pub credential: CredentialRule,
    /// The permission.
    pub permission: String,
    /// `resource` of the iam rule.
    pub resource: String,
    /// What a person has to decide before it is exposed. None: it is.
    pub questions: Vec<String>,
    /// What to know of it.
    pub remarks: Vec<String>,
    /// Where it is described.
    pub span: Span,
}

impl ImportedMethod {
    /// The providers whose tokens it asks for.
    pub(super) fn providers(&self) -> impl Iterator<Item = &str> {
        let requirements = match &self.credential {
            CredentialRule::Providers { requirements, .. } => requirements.as_slice(),
            _ => &[],
        };
        requirements.iter().map(|requirement| requirement.provider.as_str())
    }
}
