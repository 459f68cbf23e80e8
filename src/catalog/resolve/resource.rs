//! The resource of an iam rule against the paths of its http rule.

use crate::catalog::iam::IamRule;
use crate::catalog::method::PermissionRule;
use crate::catalog::resource::ResourceTemplate;
use crate::catalog::service::{HttpBinding, HttpRule};
use crate::catalog::template::TemplateSegment;
use crate::diagnostic::{Report, Span};
use crate::document::nearest;

/// The path variable that holds the resource name where the iam rule names none (AIP-122: `name`).
const DEFAULT_FIELD: &str = "name";

/// How the path names the resource. Every binding must capture what that takes: IAM cannot judge a call without a
/// resource.
pub(super) fn check(rule: &IamRule, http: &HttpRule, report: &mut Report) -> Option<ResourceTemplate> {
    let default = || ResourceTemplate::variable(DEFAULT_FIELD);
    let (resource, span) = match &rule.resource {
        Some((resource, span)) => (resource.clone(), span),
        None => (default(), &rule.span),
    };
    if rule.permission == PermissionRule::None && rule.resource.is_none() {
        return Some(resource);
    }
    let mut is_sound = true;
    for binding in &http.bindings {
        is_sound &= is_captured(&resource, rule, span, binding, report);
    }
    if !is_sound {
        return None;
    }
    if rule.permission != PermissionRule::None {
        warn_of_what_carries_no_grant(&resource, rule, span, http, report);
    }
    Some(resource)
}

fn is_captured(
    resource: &ResourceTemplate,
    rule: &IamRule,
    span: &Span,
    binding: &HttpBinding,
    report: &mut Report,
) -> bool {
    let names = || binding.template.variables().iter().map(|variable| &*variable.field);
    let mut captured = true;
    for field in resource.variables().filter(|field| !names().any(|name| name == *field)) {
        captured = false;
        let is_name = |name: &&str| binding.template.shape_of(name).is_some_and(|shape| shape.len() > 1);
        let meant = nearest(field, names()).or_else(|| names().find(is_name));
        let help = match (meant, ResourceTemplate::proposal(&binding.template)) {
            (Some(name), _) if resource.whole().is_some() => format!("did you mean `resource: {name}`?"),
            (_, Some(proposed)) => format!("did you mean `resource: {proposed}`?"),
            (Some(name), None) => format!("did you mean `{{{name}}}`?"),
            (None, None) => match names().next() {
                Some(name) => format!("did you mean `resource: {name}`?"),
                None => "write the name of the resource, as in `resource: projects/acme/status`; only `permission: \
                         none` can go without"
                    .to_owned(),
            },
        };
        let message =
            format!("a binding of `{}` has no variable `{field}` to take the resource from", rule.selector);
        report.error(span, message).help(help).related(&binding.span, "the binding is here");
    }
    if let Some(field) = resource.unbounded_before_the_end(&binding.template).filter(|_| captured) {
        captured = false;
        report
            .error(span, format!("`{{{field}}}` can hold any number of segments, so it has to come last"))
            .help("a caller could move what follows it to another place of the name")
            .related(&binding.span, "the binding is here");
    }
    captured
}

/// A policy is attached to a row of `collection/id` pairs, and holds below it. A name of one segment has none above it.
fn warn_of_what_carries_no_grant(
    resource: &ResourceTemplate,
    rule: &IamRule,
    span: &Span,
    http: &HttpRule,
    report: &mut Report,
) {
    let is_bare = |binding: &&HttpBinding| {
        let shape = resource.shape(&binding.template).unwrap_or_default();
        matches!(shape.as_slice(), [TemplateSegment::Single | TemplateSegment::Literal(_)])
    };
    let Some(binding) = http.bindings.iter().find(is_bare) else { return };
    let proposed = match ResourceTemplate::proposal(&binding.template) {
        Some(proposed) => format!("`resource: {proposed}`"),
        None => format!("`resource: projects/acme/things/{{{resource}}}`"),
    };
    report
        .warning(
            span,
            format!("`{resource}` is one segment of the path, and no policy can be attached to such a name: every \
                     call of `{}` is denied", rule.selector),
        )
        .help(format!("write a row of `collection/id` pairs: {proposed}"))
        .related(&binding.span, "the binding is here");
}
