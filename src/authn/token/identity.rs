//! The identity that the claims of a verified token make: an email's user or service account, or a subject of an
//! identity pool, with the groups and attributes that the issuer's mapping takes from the claims.
//!
//! The mapping is CEL over `assertion`, as in Workload and Workforce Identity Federation
//! (<https://cloud.google.com/iam/docs/workload-identity-federation#mapping>), compiled once when the settings are
//! loaded. A token that cannot be mapped is denied: half an identity could be another caller's.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::authn::denial::{invalid, shown};
use crate::authn::settings::{IdentityRule, MappedAttribute};
use crate::cel::{Activation, Budget, Environment, EvaluationError, Program, Type, Value as Cel};
use crate::principal::Principal;
use crate::principal::caller::everybody_of;
use crate::reason::Denial;

/// The longest `sub` (OpenID Connect Core, section 2), and the longest group or attribute. Bytes.
const MAX_NAME: usize = 255;
/// Most groups of one token; tokens are bounded in bytes as well.
const MAX_GROUPS: usize = 1000;
/// Units of work that one attribute's expression may take, for one token; see [`Budget`]. Each has its own: one
/// attribute does not use up the budget of another, and the error names the one that ran out. Enough for what is done
/// to each of [`MAX_GROUPS`] groups.
const BUDGET: u64 = 1_000_000;

/// An issuer's rule, ready to be applied.
#[derive(Debug)]
pub(in crate::authn) struct IdentityMapping {
    subject_pool: Option<String>,
    accept_unverified_email: bool,
    /// In lower case; `None` for any.
    email_domains: Option<Vec<String>>,
    mapping: Vec<(MappedAttribute, Program)>,
    condition: Option<Program>,
}

/// An identity, as the claims make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authn) struct Identified {
    pub(in crate::authn) principal: Principal,
    /// Other names that policy may have for it: the sets of its pool, groups and attributes.
    pub(in crate::authn) sets: Vec<Arc<str>>,
}

/// An expression that cannot be used: the attribute it is for, `None` for the condition, and why.
pub(in crate::authn) type MappingError = (Option<MappedAttribute>, String, String);

impl IdentityMapping {
    /// Compiles a rule that [`crate::authn::settings::check`] found nothing wrong with.
    ///
    /// # Errors
    /// Every expression that does not compile.
    pub(in crate::authn) fn compile(rule: &IdentityRule) -> Result<Self, Vec<MappingError>> {
        let assertion = || Environment::new().with_iam_extensions().variable("assertion", claims_type());
        let mut unusable = Vec::new();
        let mut mapping = Vec::new();
        let mut conditioned = assertion();
        for (attribute, text) in &rule.attribute_mapping {
            let of = match attribute {
                MappedAttribute::Groups => Type::list(Type::String),
                MappedAttribute::Subject | MappedAttribute::Custom(_) => Type::String,
            };
            match Program::compile(text, &assertion(), &of) {
                Ok(program) => mapping.push((attribute.clone(), program)),
                Err(faults) => {
                    let told = faults.into_iter().map(|fault| told(fault, text));
                    unusable.extend(told.map(|(message, help)| (Some(attribute.clone()), message, help)));
                }
            }
            conditioned = conditioned.variable(&attribute.to_string(), of);
        }
        let condition = match &rule.attribute_condition {
            None => None,
            Some(text) => match Program::compile(text, &conditioned, &Type::Bool) {
                Ok(program) => Some(program),
                Err(faults) => {
                    let told = faults.into_iter().map(|fault| told(fault, text));
                    unusable.extend(told.map(|(message, help)| (None, message, help)));
                    None
                }
            },
        };
        if !unusable.is_empty() {
            return Err(unusable);
        }
        let lower =
            |domains: &Vec<String>| domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        Ok(Self {
            subject_pool: rule.subject_pool.clone(),
            accept_unverified_email: rule.accept_unverified_email,
            email_domains: rule.email_domains.as_ref().map(lower),
            mapping,
            condition,
        })
    }

    /// The identity that the claims make.
    ///
    /// # Errors
    /// Claims that make no identity, or one that this issuer may not assert.
    pub(in crate::authn) fn of(&self, claims: &Map<String, Value>) -> Result<Identified, Denial> {
        let assertion = Assertion { claims, mapped: &[] };
        let mut mapped: Vec<Cel<'_>> = Vec::with_capacity(self.mapping.len());
        for (attribute, program) in &self.mapping {
            let value = program
                .evaluate(&assertion, &mut Budget::new(BUDGET))
                .map_err(|failure| invalid(format!("`{attribute}` cannot be mapped: {failure}")))?;
            mapped.push(value);
        }
        if let Some(condition) = &self.condition {
            let assertion = Assertion { claims, mapped: &mapped };
            match condition.evaluate(&assertion, &mut Budget::new(BUDGET)) {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => return Err(invalid("the issuer's `attribute_condition` does not hold")),
                Err(failure) => {
                    return Err(invalid(format!("the issuer's `attribute_condition`: {failure}")));
                }
            }
        }
        match &self.subject_pool {
            Some(pool) if !self.mapping.is_empty() => self.federated(pool, &mapped),
            pool => self.unmapped(pool.as_deref(), claims),
        }
    }

    /// A subject of the pool, with the groups and attributes that are mapped.
    fn federated(&self, pool: &str, mapped: &[Cel<'_>]) -> Result<Identified, Denial> {
        let mut principal = None;
        let mut sets: Vec<Arc<str>> = vec![everybody_of(pool)];
        for ((attribute, _), value) in self.mapping.iter().zip(mapped) {
            match (attribute, value) {
                (MappedAttribute::Subject, Cel::String(subject)) => {
                    principal = Some(Principal::subject(pool, checked(attribute, subject)?));
                }
                (MappedAttribute::Groups, Cel::List(groups)) => {
                    if groups.values().len() > MAX_GROUPS {
                        return Err(invalid(format!("more than {MAX_GROUPS} groups are mapped")));
                    }
                    for group in groups.values() {
                        let Cel::String(group) = group else {
                            return Err(invalid(
                                "`google.groups` is mapped to something that is not a string",
                            ));
                        };
                        let group = checked(attribute, group)?;
                        sets.push(format!("principalSet://{pool}/group/{group}").into());
                    }
                }
                (MappedAttribute::Custom(name), Cel::String(value)) => {
                    // An attribute that is empty in the token is left out.
                    if !value.is_empty() {
                        let value = checked(attribute, value)?;
                        sets.push(format!("principalSet://{pool}/attribute.{name}/{value}").into());
                    }
                }
                _ => return Err(invalid(format!("`{attribute}` is mapped to a value of another type"))),
            }
        }
        let principal = principal.ok_or_else(|| invalid("no `google.subject` is mapped"))?;
        Ok(Identified { principal, sets })
    }

    /// The user or service account of a verified email, else the subject of the pool that `sub` names.
    fn unmapped(&self, pool: Option<&str>, claims: &Map<String, Value>) -> Result<Identified, Denial> {
        let email = crate::authn::token::claim::text(claims, "email")?;
        // Only `true` counts: Google's tokeninfo writes "true", but a token is not a tokeninfo answer, and only the
        // issuer knows what a claim of another type means.
        let verified =
            self.accept_unverified_email || claims.get("email_verified") == Some(&Value::Bool(true));
        match (email, pool) {
            (Some(email), _) if verified => {
                let principal = Principal::from_email(email)
                    .map_err(|error| invalid(format!("`email` is `{}`: {error}", shown(email))))?;
                self.may_speak_for(&principal)?;
                Ok(Identified { principal, sets: Vec::new() })
            }
            (_, Some(pool)) => {
                let subject = crate::authn::token::claim::text(claims, "sub")?
                    .ok_or_else(|| invalid("the token has no `sub` to name its principal by"))?;
                let subject = checked("sub", subject)?;
                Ok(Identified {
                    principal: Principal::subject(pool, subject),
                    sets: vec![everybody_of(pool)],
                })
            }
            (Some(_), None) => Err(invalid("`email` is not verified, and the issuer has no subject pool")),
            (None, None) => Err(invalid("the token has no `email`, and the issuer has no subject pool")),
        }
    }

    /// With several issuers, one must not be able to make tokens for the other's people.
    fn may_speak_for(&self, principal: &Principal) -> Result<(), Denial> {
        let Some(allowed) = &self.email_domains else { return Ok(()) };
        let domain = principal.domain().unwrap_or_default();
        let speaks = allowed.iter().any(|allowed| match allowed.strip_prefix("*.") {
            Some(parent) => {
                domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
            }
            None => allowed == "*" || allowed == domain,
        });
        if speaks {
            return Ok(());
        }
        Err(invalid(format!("the issuer may not speak for `{principal}`: see its `email_domains`")))
    }
}

fn claims_type() -> Type {
    Type::map(Type::String, Type::Dyn)
}

/// A fault with the part of the expression that it is about.
fn told(fault: crate::cel::CompileError, text: &str) -> (String, String) {
    let part = text.get(fault.range).unwrap_or_default();
    let message = if part.is_empty() || part == text {
        fault.message
    } else {
        format!("{}, at `{part}`", fault.message)
    };
    (message, fault.help)
}

/// A name that needs no encoding in a principal identifier. The error says that it is the name of `what`.
fn checked(what: impl fmt::Display, name: &str) -> Result<&str, Denial> {
    let plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Err(invalid(format!(
            "`{what}` is empty, longer than {MAX_NAME} bytes or not printable ASCII"
        )));
    }
    Ok(name)
}

/// The claims, and for the condition also what is mapped from them.
struct Assertion<'a> {
    claims: &'a Map<String, Value>,
    mapped: &'a [Cel<'a>],
}

impl<'v> Activation<'v> for Assertion<'v> {
    fn variable(&self, slot: usize) -> Result<Cel<'v>, EvaluationError> {
        match slot.checked_sub(1) {
            None => Ok(Cel::from(self.claims)),
            Some(at) => self
                .mapped
                .get(at)
                .map(Cel::borrowed)
                .ok_or(EvaluationError::Unknown { name: "attribute".into() }),
        }
    }

    fn function(&self, _: usize, _: &[Cel<'v>]) -> Result<Cel<'v>, EvaluationError> {
        Err(EvaluationError::Error("mappings have no functions of their own".into()))
    }
}

#[cfg(test)]
mod tests;
