//! Policy trees of any size, as real users have them: files that gcloud printed, roles, groups, a hierarchy.
//!
//! Sizes count **grants**. A grant is a role for one member on one resource: a decision looks for grants, and they cost
//! the memory. (`Counts::bindings` counts bindings as written, which hold one grant or a thousand.) Every grant has a
//! member of its own, so that no name is shared: the most expensive tree of its size.

use std::fmt::Write as _;
use std::path::Path;

use tempfile::TempDir;

/// How the grants of a tree are spread over files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One policy with a binding for each grant.
    OneFile,
    /// Projects with 1,000 bindings each, of one member.
    Projects,
    /// Projects with 15 bindings each, of 100 members: as many as Google allows in one policy.
    Crowds,
}

/// The format of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The default output of `gcloud projects get-iam-policy`.
    Yaml,
    /// Its output with `--format=json`.
    Json,
}

impl Shape {
    pub const ALL: [Self; 3] = [Self::OneFile, Self::Projects, Self::Crowds];

    pub fn name(self) -> &'static str {
        match self {
            Self::OneFile => "one file",
            Self::Projects => "1,000 a file",
            Self::Crowds => "1,500 a file, 100 a binding",
        }
    }

    /// Bindings of a file and members of a binding.
    fn spread(self, grants: usize) -> (usize, usize) {
        match self {
            Self::OneFile => (grants, 1),
            Self::Projects => (1_000.min(grants), 1),
            Self::Crowds => (15, 100),
        }
    }
}

impl Format {
    pub const ALL: [Self; 2] = [Self::Yaml, Self::Json];

    pub fn extension(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
        }
    }
}

/// The number of roles; bindings use them in turn.
const ROLES: usize = 50;
/// The number of permissions of each role.
const PERMISSIONS: usize = 20;
/// One grant in this many is to a group.
const GROUP_EVERY: usize = 1_000;
/// The remainder that selects it.
const GROUP_AT: usize = 1;

/// The caller with a role in the whole organization, on a typical condition.
pub const CONDITIONAL: &str = "conditional@example.com";
const CONDITION: &str = "resource.name.startsWith('projects/') && request.time < timestamp('2030-01-01T00:00:00Z') && \
    request.time.getHours('Europe/Berlin') < 18";

/// A grant of the tree, as a request that uses it would name it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The email of the caller that has the grant: the member itself, or the group's member.
    pub email: String,
    pub permission: String,
    pub project: String,
}

impl Shape {
    /// The grant with this number, in a tree of this many.
    pub fn grant(self, number: usize, grants: usize) -> Grant {
        let (bindings, members) = self.spread(grants);
        let (file, within) = (number / (bindings * members), number % (bindings * members));
        let role = within / members % ROLES;
        Grant {
            email: email(number),
            permission: format!("service{role}.things.verb{}", number % PERMISSIONS),
            project: project(file),
        }
    }
}

/// The numbers of grants to groups.
pub fn is_to_group(grant: usize) -> bool {
    grant % GROUP_EVERY == GROUP_AT
}

/// A permission that no caller has.
pub const UNHELD: &str = "service0.things.unheld";

fn email(grant: usize) -> String {
    format!("person-{grant:07}@example.com")
}

fn group(grant: usize) -> String {
    format!("team-{grant:07}@example.com")
}

fn project(file: usize) -> String {
    format!("projects/project-{file:04}")
}

fn member(grant: usize) -> String {
    if is_to_group(grant) { format!("group:{}", group(grant)) } else { format!("user:{}", email(grant)) }
}

/// Writes a tree of this many grants.
pub fn write(shape: Shape, format: Format, grants: usize) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (bindings, members) = shape.spread(grants);
    std::fs::create_dir_all(root.join("allow/projects")).unwrap();
    let mut hierarchy = String::from("folders/1: organizations/7\n");
    let numbers: Vec<usize> = (0..grants).collect();
    for (file, numbers) in numbers.chunks(bindings * members).enumerate() {
        let text = match format {
            Format::Yaml => yaml(numbers, members),
            Format::Json => json(numbers, members),
        };
        let name = project(file);
        std::fs::write(root.join(format!("allow/{name}.{}", format.extension())), text).unwrap();
        writeln!(hierarchy, "{name}: folders/1").unwrap();
    }
    std::fs::write(root.join("hierarchy.yaml"), hierarchy).unwrap();
    let groups: String = numbers
        .iter()
        .filter(|number| is_to_group(**number))
        .map(|number| format!("{}: ['user:{}']\n", group(*number), email(*number)))
        .collect();
    std::fs::write(root.join("groups.yaml"), groups).unwrap();
    std::fs::create_dir(root.join("allow/organizations")).unwrap();
    std::fs::write(root.join("allow/organizations/7.yaml"), conditional()).unwrap();
    write_roles(root);
    directory
}

/// A binding of each role: a question may ask for a permission of any of them.
fn conditional() -> String {
    let mut text = String::from("bindings:\n");
    for role in 0..ROLES {
        writeln!(text, "- condition: {{title: until 2030, expression: \"{CONDITION}\"}}").unwrap();
        writeln!(text, "  members: ['user:{CONDITIONAL}']\n  role: roles/service{role}.admin").unwrap();
    }
    text.push_str("version: 3\n");
    text
}

fn write_roles(root: &Path) {
    std::fs::create_dir(root.join("roles")).unwrap();
    for role in 0..ROLES {
        let mut text = String::from("includedPermissions:\n");
        for permission in 0..PERMISSIONS {
            writeln!(text, "- service{role}.things.verb{permission}").unwrap();
        }
        writeln!(text, "name: roles/service{role}.admin\nstage: GA\ntitle: Role {role}").unwrap();
        std::fs::write(root.join(format!("roles/service{role}.yaml")), text).unwrap();
    }
}

fn yaml(grants: &[usize], members: usize) -> String {
    let mut text = String::from("bindings:\n");
    for (number, chunk) in grants.chunks(members).enumerate() {
        text.push_str("- members:\n");
        for grant in chunk {
            writeln!(text, "  - {}", member(*grant)).unwrap();
        }
        writeln!(text, "  role: roles/service{}.admin", number % ROLES).unwrap();
    }
    text.push_str("etag: BwXhqDDTJ2k=\nversion: 1\n");
    text
}

fn json(grants: &[usize], members: usize) -> String {
    let bindings: Vec<serde_json::Value> = grants
        .chunks(members)
        .enumerate()
        .map(|(number, chunk)| {
            let members: Vec<String> = chunk.iter().copied().map(member).collect();
            serde_json::json!({ "members": members, "role": format!("roles/service{}.admin", number % ROLES) })
        })
        .collect();
    let policy = serde_json::json!({ "bindings": bindings, "etag": "BwXhqDDTJ2k=", "version": 1 });
    serde_json::to_string_pretty(&policy).unwrap()
}
