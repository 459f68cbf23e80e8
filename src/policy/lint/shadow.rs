//! Members and conditions that another binding makes redundant: nothing would change without them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::findings::{Findings, and_more};
use super::membership::Membership;
use super::view::{BindingView, MemberView, PolicyView};
use crate::diagnostic::Span;
use crate::policy::index::{MemberId, ResourceId, RoleId};

/// Most bindings of one role to one principal with different conditions (<https://cloud.google.com/iam/quotas>).
const MOST_CONDITIONS: usize = 20;

const SHADOWED: &str = "members that hold the role already";

/// A member of a binding, as two numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Position {
    binding: usize,
    member: usize,
}

/// What a member of a binding holds: on what, which role, whether on which condition.
type Holding = (ResourceId, RoleId, MemberId, Option<usize>);

/// Tells of members and conditions that change nothing, and of more conditions than IAM takes.
pub(super) fn shadowed(view: &PolicyView<'_>, findings: &mut Findings<'_>) {
    let holdings = holdings(view, findings);
    let around = around(view);
    let mut chain: (Option<ResourceId>, Vec<ResourceId>) = (None, Vec::new());
    for (number, binding) in view.bindings.iter().enumerate() {
        if !view.is_fruitful(binding) {
            continue;
        }
        if chain.0 != Some(binding.resource) {
            chain = (Some(binding.resource), view.chain(binding.resource));
        }
        let shadows = Shadows { view, holdings: &holdings, around: &around, chain: &chain.1 };
        let mut public: Vec<(Shadow, usize, usize)> = Vec::new();
        for (at, member) in binding.members.iter().enumerate() {
            let here = Position { binding: number, member: at };
            let Some(shadow) = shadows.over(binding, member, here) else { continue };
            if !shadow.is_public || shadow.frees {
                tell(view, binding, member, 0, &shadow, findings);
                continue;
            }
            // `allUsers` and `allAuthenticatedUsers` make all other members of the binding redundant: one finding for
            // them.
            match public.iter_mut().find(|(other, ..)| other.by == shadow.by) {
                Some((_, _, more)) => *more += 1,
                None => public.push((shadow, at, 0)),
            }
        }
        for (shadow, first, more) in public {
            if let Some(member) = binding.members.get(first) {
                tell(view, binding, member, more, &shadow, findings);
            }
        }
    }
}

/// The first member of a binding that holds each of what is held.
fn holdings(view: &PolicyView<'_>, findings: &mut Findings<'_>) -> HashMap<Holding, Position> {
    let mut holdings = HashMap::new();
    let mut conditions: HashMap<(ResourceId, RoleId, MemberId), usize> = HashMap::new();
    for (number, binding) in view.bindings.iter().enumerate().filter(|(_, binding)| view.is_fruitful(binding))
    {
        for (at, member) in binding.members.iter().enumerate() {
            let Some(id) = member.id else { continue };
            let key = (binding.resource, binding.role, id, binding.condition);
            let Entry::Vacant(entry) = holdings.entry(key) else { continue };
            entry.insert(Position { binding: number, member: at });
            let Some(span) = binding.condition_span() else { continue };
            let count = conditions.entry((binding.resource, binding.role, id)).or_default();
            *count += 1;
            if *count == MOST_CONDITIONS + 1 {
                let (role, member) = (view.role_name(binding.role), view.member_name(id));
                findings.warning(
                    "members with more conditions than IAM takes",
                    &span,
                    format!("`{member}` has `{role}` here on more than {MOST_CONDITIONS} conditions"),
                    format!(
                        "IAM refuses a policy with more than {MOST_CONDITIONS} for one role and principal; join \
                         some with `||`"
                    ),
                );
            }
        }
    }
    holdings
}

/// By member: the groups that it is in, and the domain of a user.
fn around(view: &PolicyView<'_>) -> HashMap<MemberId, Box<[MemberId]>> {
    let membership = Membership::of(view.groups());
    let mut around = HashMap::new();
    for (id, name) in view.member_names.iter() {
        let domain = name.strip_prefix("user:").and_then(|email| email.rsplit_once('@'));
        let domain = domain.and_then(|(_, domain)| view.member_names.find(&format!("domain:{domain}")));
        let groups = membership.groups_of(name).filter_map(|group| view.member_names.find(group));
        let found: Box<[MemberId]> = groups.chain(domain).collect();
        if !found.is_empty() {
            around.insert(id, found);
        }
    }
    around
}

/// Why a member of a binding changes nothing.
struct Shadow {
    by: Position,
    resource: ResourceId,
    member: MemberId,
    /// Whether the role is held there without a condition, and here on one.
    frees: bool,
    /// Whether it is everybody who holds it.
    is_public: bool,
}

/// The holdings that may make members of one resource's bindings redundant.
struct Shadows<'t> {
    view: &'t PolicyView<'t>,
    holdings: &'t HashMap<Holding, Position>,
    around: &'t HashMap<MemberId, Box<[MemberId]>>,
    chain: &'t [ResourceId],
}

impl Shadows<'_> {
    /// The nearest holding that makes a member of a binding change nothing.
    fn over(&self, binding: &BindingView<'_>, member: &MemberView, here: Position) -> Option<Shadow> {
        let id = member.id.filter(|_| member.is_somebody)?;
        // Users and service accounts are among `allAuthenticatedUsers`. Federated identities are not, and a group may
        // have one as a member.
        let name = self.view.member_name(id);
        let is_account = ["user:", "serviceAccount:", "domain:"].iter().any(|kind| name.starts_with(kind));
        let authenticated = self.view.all_authenticated_users();
        let authenticated = authenticated.filter(|authenticated| is_account || *authenticated == id);
        let everybody = [self.view.all_users(), authenticated];
        // `allUsers` includes `allAuthenticatedUsers`, and nothing includes `allUsers`.
        let public = match everybody.iter().position(|public| *public == Some(id)) {
            Some(at) => everybody.get(..at),
            None => Some(&everybody[..]),
        };
        let public = public.unwrap_or_default().iter().copied().flatten();
        let own = binding.condition;
        for resource in self.chain {
            // Groups change: a member that is named beside one on another resource may be meant to stay.
            let near = if *resource == binding.resource { self.around.get(&id) } else { None };
            let near = near.into_iter().flatten().copied();
            for candidate in std::iter::once(id).chain(near).chain(public.clone()) {
                let conditions = [None, own];
                let conditions = if own.is_some() { &conditions[..] } else { &conditions[..1] };
                for condition in conditions {
                    let key = (*resource, binding.role, candidate, *condition);
                    let by = self.holdings.get(&key).filter(|by| **by != here);
                    if let Some(by) = by {
                        return Some(Shadow {
                            by: *by,
                            resource: *resource,
                            member: candidate,
                            frees: own.is_some() && condition.is_none(),
                            is_public: everybody.contains(&Some(candidate)),
                        });
                    }
                }
            }
        }
        None
    }
}

fn tell(
    view: &PolicyView<'_>,
    binding: &BindingView<'_>,
    member: &MemberView,
    more: usize,
    shadow: &Shadow,
    findings: &mut Findings<'_>,
) {
    let Some(id) = member.id else { return };
    let (name, role) = (view.member_name(id), view.role_name(binding.role));
    let (other, resource) = (view.member_name(shadow.member), view.resource_name(shadow.resource));
    let here = if shadow.resource == binding.resource {
        "here".to_owned()
    } else {
        format!("on `{resource}`, in which `{}` lies", view.resource_name(binding.resource))
    };
    let who = and_more(&name, more);
    let help = match more {
        0 => "remove the member: it changes nothing",
        _ => "remove them: they change nothing",
    };
    let span = &binding.member_span(member);
    let diagnostic = if shadow.frees {
        let by = if id == shadow.member { String::new() } else { format!(", by way of `{other}`") };
        let message = format!(
            "`{name}` has `{role}` without condition {here}{by}: this condition does not keep them out"
        );
        let help = "remove the binding without condition, or this one";
        findings.warning("conditions that another binding makes moot", span, message, help)
    } else if id == shadow.member {
        let message = format!("`{name}` already has `{role}` {here}");
        findings.note(SHADOWED, span, message, "remove one of the two: it changes nothing")
    } else if shadow.is_public {
        let message = format!("`{other}` already has `{role}` {here}: that includes {who}");
        findings.note(SHADOWED, span, message, help)
    } else {
        let message = format!("{who} is in `{other}`, which already has `{role}` {here}");
        findings.note(SHADOWED, span, message, help)
    };
    if let (Some(diagnostic), Some(span)) = (diagnostic, span_of(view, shadow.by)) {
        diagnostic.related(&span, "this is the other one");
    }
}

fn span_of(view: &PolicyView<'_>, position: Position) -> Option<Span> {
    let binding = view.bindings.get(position.binding)?;
    Some(binding.member_span(binding.members.get(position.member)?))
}
