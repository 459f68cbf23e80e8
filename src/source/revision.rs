//! Names for the content of a policy tree: equal trees have equal names, wherever they lie.

use aws_lc_rs::digest;

/// The names of a tree and of the service files in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// The first 12 hex digits of a SHA-256 over the names and contents of all files.
    pub whole: String,
    /// The same over the files below `services/`.
    pub services: String,
}

/// Hashes names and contents in the order of the names.
pub(super) struct RevisionDigest {
    whole: digest::Context,
    services: digest::Context,
}

impl std::fmt::Debug for RevisionDigest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RevisionDigest")
    }
}

impl RevisionDigest {
    pub(super) fn new() -> Self {
        Self { whole: digest::Context::new(&digest::SHA256), services: digest::Context::new(&digest::SHA256) }
    }

    pub(super) fn add(&mut self, name: &str, content: &[u8]) {
        let is_of_services = name.split('/').next() == Some("services");
        let services = is_of_services.then_some(&mut self.services);
        for context in std::iter::once(&mut self.whole).chain(services) {
            context.update(name.as_bytes());
            context.update(&[0]);
            context.update(&content.len().to_be_bytes());
            context.update(content);
        }
    }

    pub(super) fn finish(self) -> Revision {
        let name = |context: digest::Context| {
            context.finish().as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
        };
        Revision { whole: name(self.whole), services: name(self.services) }
    }
}
