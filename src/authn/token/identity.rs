//! The identity that the claims of a verified token make: an email's user or service account, or a subject of an
//! identity pool, with the groups and attributes that the issuer's mapping takes from the claims.
//!
//! The mapping is CEL over `assertion`, as in Workload and Workforce Identity Federation
//! (<https://cloud.google.com/iam/docs/workload-identity-federation#mapping>), compiled once when the settings are
//! loaded. A token that cannot be mapped is denied: half an identity could be another caller's.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::authn::denial::{invalid, shown};
use crate::authn::settings::{IdentityRule, MappedAttribute};
use crate::authn::token::claim::{claim, strings, text};
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
    /// The claim that holds emails of groups.
    group_emails: Option<String>,
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
            // A directory's list may hold more than names. Only the names are read from it.
            let yielded = if of == Type::String { Type::String } else { Type::list(Type::Dyn) };
            match Program::compile(text, &assertion(), &yielded) {
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
            group_emails: rule.group_emails.clone(),
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
            mapped.push(if *attribute == MappedAttribute::Groups { names_of(&value)? } else { value });
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
        let mut identified = match &self.subject_pool {
            Some(pool) if !self.mapping.is_empty() => self.federated(pool, &mapped)?,
            pool => self.unmapped(pool.as_deref(), claims)?,
        };
        if let Some(claim) = &self.group_emails {
            self.add_groups(claim, claims, &mut identified.sets)?;
        }
        Ok(identified)
    }

    /// Adds the groups of which a claim holds the emails, as far as the issuer may assert them.
    fn add_groups(
        &self,
        name: &str,
        claims: &Map<String, Value>,
        sets: &mut Vec<Arc<str>>,
    ) -> Result<(), Denial> {
        // OpenID Connect Core, section 5.6.2: Entra writes that for who is in too many groups. A rule that denies one of
        // them must not be passed over.
        let elsewhere = claims.get("_claim_names").and_then(|names| claim(names.as_object()?, name));
        if elsewhere.is_some() {
            let detail =
                format!("`{name}` is not in the token but elsewhere (`_claim_names`): too many groups");
            return Err(invalid(detail));
        }
        let groups = match claim(claims, name) {
            None => return Ok(()),
            Some(Value::String(group)) => vec![group.as_str()],
            Some(value) => strings(value)
                .ok_or_else(|| invalid(format!("`{name}` is neither a string nor an array of strings")))?,
        };
        if groups.len() > MAX_GROUPS {
            return Err(invalid(format!("`{name}` holds more than {MAX_GROUPS} groups")));
        }
        for group in groups {
            match Principal::group(group) {
                Ok(named) if self.speaks_for(domain_of(named.as_str())) => sets.push(named.as_str().into()),
                _ => tracing::debug!("the group {} is left out: see `email_domains`", shown(group)),
            }
        }
        Ok(())
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
                    for group in groups.values() {
                        if let Cel::String(group) = group {
                            sets.push(Principal::set(pool, "group", group));
                        }
                    }
                }
                (MappedAttribute::Custom(name), Cel::String(value)) => {
                    // An attribute that is empty in the token is left out.
                    if !value.is_empty() {
                        let value = checked(attribute, value)?;
                        sets.push(Principal::set(pool, &format!("attribute.{name}"), value));
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
        let email = text(claims, "email")?;
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
                let subject = text(claims, "sub")?
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
        if self.email_domains.is_none() || self.speaks_for(principal.domain().unwrap_or_default()) {
            return Ok(());
        }
        Err(invalid(format!("the issuer may not speak for `{principal}`: see its `email_domains`")))
    }

    /// Whether a domain is one of `email_domains`.
    fn speaks_for(&self, domain: &str) -> bool {
        self.email_domains.iter().flatten().any(|allowed| match allowed.strip_prefix("*.") {
            Some(parent) => {
                domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
            }
            None => allowed == "*" || allowed == domain,
        })
    }
}

fn domain_of(email: &str) -> &str {
    email.split_once('@').map_or("", |(_, domain)| domain)
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

/// The names in a list of groups. A group that policy has no way to name is left out, since no rule can be about it; a
/// number is the text of its digits.
fn names_of<'v>(groups: &Cel<'v>) -> Result<Cel<'v>, Denial> {
    let wrong = || Err(invalid("`google.groups` is mapped to something that is not a list of strings"));
    let Cel::List(groups) = groups else { return wrong() };
    if groups.values().len() > MAX_GROUPS {
        return Err(invalid(format!("more than {MAX_GROUPS} groups are mapped")));
    }
    let mut names: Vec<Cel<'v>> = Vec::with_capacity(groups.values().len());
    for group in groups.values() {
        let name: Cow<'v, str> = match group {
            Cel::String(name) => name.clone(),
            Cel::Int(number) => number.to_string().into(),
            Cel::Uint(number) => number.to_string().into(),
            // JSON's numbers; beyond 2^53 two of them could have one value.
            Cel::Double(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => {
                number.to_string().into()
            }
            Cel::Null => continue,
            _ => return wrong(),
        };
        if name.is_empty() || name.len() > MAX_NAME {
            tracing::debug!("a group of {} bytes is left out: no policy can name it", name.len());
        } else {
            names.push(Cel::String(name));
        }
    }
    Ok(Cel::from(names))
}

/// A name that a caller can have. The error says that it is the name of `what`.
fn checked(what: impl fmt::Display, name: &str) -> Result<&str, Denial> {
    let wrong = |why: String| Err(invalid(format!("`{what}` {why}")));
    if name.is_empty() {
        return wrong("is empty".to_owned());
    }
    if name.len() > MAX_NAME {
        return wrong(format!("has {} bytes, more than {MAX_NAME}", name.len()));
    }
    if name.chars().any(char::is_control) {
        return wrong("holds a control character".to_owned());
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
