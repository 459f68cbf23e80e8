//! What each file that opgate reads may hold: JSON Schemas for editors and other tools, the order of keys, and the pages of
//! the reference.
//!
//! All of it is made from one set of tables. The loaders do not read the tables: each reads a key where it uses it. The tests
//! of tests/it/schema.rs hold the two together, in both directions.

mod configuration;
mod decision_test;
mod json;
mod policy;
mod reference;
mod service;
pub mod shape;

use serde_json::Value;

use self::shape::Shape;

/// The shape of one kind of file.
#[derive(Clone, Copy, Debug)]
pub struct FileSchema {
    /// Its name on the command line, and of its schema file.
    pub name: &'static str,
    /// Which files have this shape.
    pub files: &'static str,
    /// What such a file is, in a sentence.
    pub description: &'static str,
    /// What it holds.
    pub root: Shape,
}

impl FileSchema {
    /// Every kind of file.
    pub const ALL: [Self; 11] = [
        Self {
            name: "configuration",
            files: "opgate.yaml",
            description: "The operator's file: where opgate listens, what it protects, whose tokens it takes.",
            root: Shape::Mapping(&configuration::CONFIGURATION),
        },
        Self {
            name: "service",
            files: "services/ID.yaml",
            description: "A google.api.Service: which requests call which method, and which scopes a method takes.",
            root: Shape::Mapping(&service::SERVICE),
        },
        Self {
            name: "iam",
            files: "services/ID.iam.yaml",
            description: "The permission that each method of a service asks for, and on which resource.",
            root: Shape::Mapping(&service::IAM),
        },
        Self {
            name: "role",
            files: "roles/**",
            description: "A role: a named list of permissions, as `gcloud iam roles describe` prints it.",
            root: Shape::Mapping(&policy::ROLE),
        },
        Self {
            name: "allow",
            files: "allow/RESOURCE.yaml",
            description: "An allow policy: who holds which role on the resource that the file's path names, and below it.",
            root: policy::ALLOW,
        },
        Self {
            name: "deny",
            files: "deny/RESOURCE/ID.yaml",
            description: "A deny policy: what is forbidden on a resource and below it, whatever a binding grants.",
            root: Shape::Mapping(&policy::DENY),
        },
        Self {
            name: "boundary",
            files: "boundaries/**",
            description: "A principal access boundary policy, or a binding of one.",
            root: policy::BOUNDARY,
        },
        Self {
            name: "hierarchy",
            files: "hierarchy.yaml",
            description: "The parent of each project and folder, and the number of each project.",
            root: policy::HIERARCHY,
        },
        Self {
            name: "groups",
            files: "groups.yaml",
            description: "The members of each group.",
            root: policy::GROUPS,
        },
        Self {
            name: "tags",
            files: "tags.yaml",
            description: "The resource tags that conditions ask about.",
            root: policy::TAGS,
        },
        Self {
            name: "tests",
            files: "tests/*.yaml",
            description: "Decision tests: who calls what, and what is expected.",
            root: decision_test::TESTS,
        },
    ];

    /// The schema of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.name == name)
    }

    /// The schema of a file of a policy tree, by its path below the tree. `None` for a file that is not one of the tree's.
    pub fn of_policy_file(path: &str) -> Option<Self> {
        let name = match path.split_once('/') {
            Some(("services", rest)) if is_iam_file(rest) => "iam",
            Some(("services", _)) => "service",
            Some(("roles", _)) => "role",
            Some(("allow", _)) => "allow",
            Some(("deny", _)) => "deny",
            Some(("boundaries", _)) => "boundary",
            Some(("tests", _)) => "tests",
            None => path.rsplit_once('.')?.0,
            Some(_) => return None,
        };
        Self::named(name).filter(|schema| path.contains('/') || schema.files == path)
    }

    /// The JSON Schema (2020-12).
    pub fn to_json(self) -> Value {
        json::schema(&format!("opgate: {}", self.files), self.description, self.root)
    }

    /// The JSON Schema as the text of a file.
    pub fn to_text(self) -> String {
        format!("{:#}\n", self.to_json())
    }

    /// The name of the file that holds the JSON Schema.
    pub fn file_name(self) -> String {
        format!("{}.json", self.name)
    }
}

/// Whether a file below `services/` is an iam file.
fn is_iam_file(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, _)| stem.ends_with(".iam"))
}

pub use self::reference::configuration_reference;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_policy_tree_leads_to_a_schema() {
        for (path, name) in [
            ("services/jobs.yaml", Some("service")),
            ("services/jobs.iam.yaml", Some("iam")),
            ("services/jobs.iam.json", Some("iam")),
            ("roles/a/b.yaml", Some("role")),
            ("allow/projects/demo.json", Some("allow")),
            ("deny/projects/demo/freeze.yaml", Some("deny")),
            ("boundaries/a.yaml", Some("boundary")),
            ("tests/a.yaml", Some("tests")),
            ("hierarchy.yaml", Some("hierarchy")),
            ("groups.yaml", Some("groups")),
            ("tags.yaml", Some("tags")),
            ("opgate.yaml", None),
            ("allow.yaml", None),
            ("README.md", None),
            ("alow/projects/demo.yaml", None),
        ] {
            assert_eq!(FileSchema::of_policy_file(path).map(|schema| schema.name), name, "{path}");
        }
    }
}
