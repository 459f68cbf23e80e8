//! Roles that are bound and not defined. They grant nothing, so that the export of a project loads before its roles are
//! fetched; one warning tells of all of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::model::allow::AllowPolicy;
use super::model::role::Roles;
use crate::diagnostic::{Report, Span};

/// Most roles that the message names; the command in its help has all of them.
const MOST_NAMED: usize = 5;

/// Behind a role's name, where IAM hides a condition from a client that asks for version 1 of a policy
/// (<https://cloud.google.com/iam/docs/troubleshoot-withcond>).
const HIDDEN_CONDITION: &str = "_withcond_";

/// What was bound and is not defined, so far.
#[derive(Debug, Default)]
pub(super) struct UndefinedRoles {
    /// How many bindings each has.
    bindings: BTreeMap<String, usize>,
    first: Option<Span>,
    hiding: usize,
    first_hiding: Option<Span>,
}

impl UndefinedRoles {
    /// Notes the roles of a policy that are not defined.
    pub(super) fn note(&mut self, policy: &AllowPolicy, roles: &Roles) {
        for binding in policy.bindings.iter().filter(|binding| roles.find(&binding.role.value).is_none()) {
            let span = || binding.role.location.span(&policy.source);
            if binding.role.value.contains(HIDDEN_CONDITION) {
                self.hiding += 1;
                self.first_hiding.get_or_insert_with(span);
            } else {
                *self.bindings.entry(binding.role.value.clone()).or_default() += 1;
                self.first.get_or_insert_with(span);
            }
        }
    }

    /// Warns of them all at once. `folder` is where roles are defined.
    pub(super) fn tell(&self, roles: &Roles, folder: &Path, report: &mut Report) {
        // A role whose file cannot be read is defined, and the file's mistakes are in the report.
        if roles.is_incomplete() {
            return;
        }
        if let Some(span) = &self.first {
            report.warning(span, self.message()).help(self.help(roles, folder));
        }
        if let Some(span) = &self.first_hiding {
            let what = if self.hiding == 1 {
                "1 binding hides its condition"
            } else {
                "bindings hide their conditions"
            };
            let count = if self.hiding == 1 { String::new() } else { format!("{} ", self.hiding) };
            report
                .warning(span, format!("{count}{what} behind a role that ends in `{HIDDEN_CONDITION}…`, and grants nothing"))
                .help("export the policy again with its conditions: `gcloud projects get-iam-policy PROJECT`, or the API \
                       with `options.requestedPolicyVersion: 3`");
        }
    }

    fn message(&self) -> String {
        let names: Vec<String> = self.bindings.keys().map(|name| format!("`{name}`")).collect();
        let bindings: usize = self.bindings.values().sum();
        let grant = match (names.len(), bindings) {
            (1, 1) => "its binding grants nothing".to_owned(),
            (1, count) => format!("its {count} bindings grant nothing"),
            (_, count) => format!("their {count} bindings grant nothing"),
        };
        match names.as_slice() {
            [only] => format!("the bound role {only} is not defined: {grant}"),
            _ => {
                let named = names.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = match names.len().saturating_sub(MOST_NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("{} bound roles are not defined, and {grant}: {named}{more}", names.len())
            }
        }
    }

    fn help(&self, roles: &Roles, folder: &Path) -> String {
        let near: Vec<String> = self
            .bindings
            .keys()
            .filter_map(|name| Some(format!("`{}` for `{name}`", roles.nearest(name)?)))
            .take(MOST_NAMED)
            .collect();
        let meant =
            if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(", ")) };
        format!("{meant}fetch what is missing:\n{}", self.command(folder))
    }

    /// The line of shell that fetches them all.
    fn command(&self, folder: &Path) -> String {
        let import = format!("opgate import roles - --out {}", quoted(&folder.display().to_string()));
        let names: Vec<&str> = self.bindings.keys().map(String::as_str).collect();
        match names.as_slice() {
            [only] => format!("gcloud iam roles describe {only} | {import}"),
            _ => format!(
                "for role in {}; do echo ---; gcloud iam roles describe \"$role\"; done | {import}",
                names.join(" ")
            ),
        }
    }
}

/// A path as a shell reads it.
fn quoted(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if path.bytes().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CANCELLER, grants, load};
    use super::*;

    fn told(files: &[(&str, &str)]) -> String {
        load(files).1
    }

    #[test]
    fn all_undefined_roles_are_one_warning_with_the_command_that_fetches_them() {
        let policy = |roles: &[&str]| -> String {
            let binding = |role: &&str| format!("- role: {role}\n  members: ['user:ana@example.com']\n");
            format!("bindings:\n{}", roles.iter().map(binding).collect::<String>())
        };
        let many: Vec<String> = (1..=7).map(|number| format!("roles/many.r{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let report = [
            told(&[CANCELLER, ("allow/projects/demo.yaml", &policy(&["roles/editor"]))]),
            told(&[
                CANCELLER,
                ("allow/projects/abc.yaml", &policy(&["roles/editor", "projects/abc/roles/own"])),
                ("allow/projects/demo.yaml", &policy(&["roles/editor", "roles/cancelller"])),
            ]),
            told(&[CANCELLER, ("allow/projects/demo.yaml", &policy(&many))]),
            told(&[
                CANCELLER,
                ("allow/projects/demo.yaml", &policy(&["roles/viewer_withcond_2b17cc25d2cd9e2c54d8"])),
            ]),
        ];
        insta::assert_snapshot!(report.join("\n"));
    }

    /// Its name ends up in a command that a reader runs.
    #[test]
    fn a_role_whose_name_a_shell_would_read_is_not_a_role() {
        for role in
            ["projects/$(id)/roles/x", "projects/a b/roles/x", "organizations/`id`/roles/x", "roles/a;b"]
        {
            let report =
                told(&[CANCELLER, ("allow/projects/demo.yaml", &grants(&format!("'{role}'"), "allUsers"))]);
            assert!(report.contains("is not the name of a role"), "{report}");
        }
        assert_eq!(quoted("policies/roles"), "policies/roles");
        assert_eq!(quoted("it's here/roles"), r"'it'\''s here/roles'");
    }

    #[test]
    fn the_file_of_a_role_with_a_mistake_is_the_mistake() {
        let report = told(&[
            ("roles/editor.yaml", "name: roles/editor\nincludedPermission: []\n"),
            ("allow/projects/demo.yaml", &grants("roles/viewer", "allUsers")),
        ]);
        assert!(
            report.contains("did you mean `includedPermissions`?") && !report.contains("not defined"),
            "{report}"
        );
    }
}
