//! Policy trees for a test to change.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{copy, root};

/// A policy tree in a directory that ends with the value: keep it as long as the gate may read it.
pub struct Tree(TempDir);

impl Tree {
    /// A tree without files.
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A copy of the shipped policies.
    pub fn shipped() -> Self {
        let tree = Self::empty();
        copy(&root().join("policies"), tree.path());
        tree
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Writes a file, and creates its directories.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces a text that the file has.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no {from:?}");
        self.write(name, &text.replace(from, to));
    }

    /// Adds a service: its `google.api.Service`, and its IAM rules.
    pub fn add_service(&self, id: &str, service: &str, rules: &str) {
        self.write(&format!("services/{id}.yaml"), service);
        self.write(&format!("services/{id}.iam.yaml"), rules);
    }

    /// The `--set` argument with which a gate decides by this tree.
    pub fn setting(&self) -> String {
        format!("policy.directory={}", self.path().display())
    }
}
