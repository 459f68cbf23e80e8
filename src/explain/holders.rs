//! Who holds a permission on a resource, and by which bindings, as `opgate who-can` and the console list it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::Page;
use crate::catalog::{Catalog, Exposure, PermissionRule};
use crate::decision::snapshot::Snapshot;
use crate::document::nearest;
use crate::policy::who_can::{GrantedThrough, Holder};
use crate::policy::{Attributes, Granted, Refusal, ResourceName};
use crate::simulation::full_name;
use crate::simulation::written::ScenarioSyntaxError;

/// A question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WhoCan<'q> {
    /// The permission, as roles write it.
    pub(crate) permission: &'q str,
    /// The resource, by its relative or by its full name.
    pub(crate) resource: &'q str,
    /// When.
    pub(crate) time: SystemTime,
    /// The address that they call from.
    pub(crate) origin: Option<IpAddr>,
}

impl WhoCan<'_> {
    /// The relative name of the resource.
    pub(crate) fn resource(&self) -> &str {
        full_name::split(self.resource).1
    }

    /// Every principal to which a binding gives it, with the verdict.
    ///
    /// # Errors
    /// Where there is no such permission, or the text is not a name of a resource.
    pub(crate) fn holders(&self, snapshot: &Snapshot) -> Result<Vec<Holder>, ScenarioSyntaxError> {
        self.check(snapshot)?;
        let service = only_service(self.permission, &snapshot.catalog);
        let attributes = Attributes {
            origin: self.origin,
            service: service.map(|service| service.name.as_str()),
            ..Attributes::at(self.time)
        };
        let resource = ResourceName::new(self.resource());
        Ok(snapshot.policy.who_can(self.permission, resource, &attributes))
    }

    /// A typing error must not look like a permission that no principal holds.
    fn check(&self, snapshot: &Snapshot) -> Result<(), ScenarioSyntaxError> {
        let asked = snapshot.catalog.permissions();
        let asked = asked.iter().map(|(permission, _)| permission.as_str());
        let known: Vec<&str> = snapshot.policy.permissions().chain(asked).collect();
        if !known.contains(&self.permission) {
            let help = match nearest(self.permission, known.into_iter()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write it as roles do: `cloudaicompanion.operations.cancel`".to_owned(),
            };
            let message =
                format!("no role that is bound holds `{}`, and no method requires it", self.permission);
            return Err(ScenarioSyntaxError { message, help });
        }
        if self.resource().split('/').any(str::is_empty) {
            let message = format!("`{}` is not a name of a resource", self.resource);
            let help = "write it without the service: `projects/demo/locations/…`, or in full: `//SERVICE/projects/…`".to_owned();
            return Err(ScenarioSyntaxError { message, help });
        }
        Ok(())
    }

    /// The list, for people.
    pub(crate) fn text(&self, holders: &[Holder]) -> String {
        let (can, cannot): (Vec<&Holder>, Vec<&Holder>) =
            holders.iter().partition(|holder| holder.decided.is_ok());
        let count = match can.len() {
            0 => "no principal".to_owned(),
            1 => "1 principal".to_owned(),
            count => format!("{count} principals"),
        };
        let mut page = Page::default();
        page.put("", &format!("{count} can {} on {}", self.permission, self.resource()));
        for holder in can {
            page.blank();
            page.put("", &format!("{}{}", holder.name, of_set(holder)));
            grants(&mut page, "  ", &holder.name, &holder.grants);
        }
        if !cannot.is_empty() {
            page.blank();
            let are = if cannot.len() == 1 { "1 is".to_owned() } else { format!("{} are", cannot.len()) };
            page.put("", &format!("{are} granted it and cannot, as asked:"));
        }
        for holder in cannot {
            page.blank();
            page.put("", &format!("{}{}: {}", holder.name, of_set(holder), why(&holder.decided)));
            grants(&mut page, "  ", &holder.name, &holder.grants);
        }
        page.into_text()
    }
}

/// The one service whose methods require the permission, where there is one: conditions may read it.
pub(crate) fn only_service<'c>(permission: &str, catalog: &'c Catalog) -> Option<&'c Arc<Exposure>> {
    let asking = catalog.methods().iter().filter(
        |method| matches!(&method.permission, PermissionRule::Required(asked) if asked == permission),
    );
    let mut services = asking.map(|method| &method.service);
    let first = services.next()?;
    services.all(|service| service.name == first.name).then_some(first)
}

/// The bindings that give `name` something.
pub(crate) fn grants(page: &mut Page, indent: &str, name: &str, grants: &[GrantedThrough]) {
    let inner = format!("{indent}  ");
    for GrantedThrough { role, member, through, resource, condition, place } in grants {
        page.put(indent, &format!("{role} on {resource} ({place})"));
        if !through.is_empty() {
            page.put(&inner, &format!("as {member} through {}", through.join(", ")));
        } else if **member != *name {
            page.put(&inner, &format!("as {member}"));
        }
        if let Some((expression, title)) = condition {
            let title = title.as_ref().map(|title| format!(" ({title})")).unwrap_or_default();
            page.put(&inner, &format!("if `{expression}`{title}"));
        }
    }
}

fn of_set(holder: &Holder) -> &'static str {
    if holder.is_set { " (all of its members, except those that a rule denies by name)" } else { "" }
}

/// Why a verdict is not that they can.
pub(crate) fn why(decided: &Result<Granted, Refusal>) -> String {
    match decided {
        Err(Refusal::Denied(denied)) => match &denied.condition {
            None => format!("denied by {}, as {}", denied.place, denied.member),
            Some(tested) => format!("denied by {}, as {}: {tested}", denied.place, denied.member),
        },
        Err(Refusal::OutOfBounds(out)) => format!("out of bounds: {out}"),
        Err(Refusal::ConditionNotMet(unmet)) => unmet.tested.to_string(),
        Err(Refusal::PermissionNotInRole { .. } | Refusal::NoBinding) | Ok(_) => "not granted".to_owned(),
    }
}
