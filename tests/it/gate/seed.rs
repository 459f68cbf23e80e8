//! The three seed services, as their reference pages and `policies/` describe them.

use crate::harness::{COMPANION, DATAPROC, Req, TRANSLATION};

pub const CANCEL: &str = "google.longrunning.Operations.CancelOperation";

/// May cancel in `projects/demo`.
pub const ANA: &str = "ana@example.com";
/// May only look there.
pub const BOB: &str = "bob@example.com";
/// May cancel in `projects/other`, nowhere else.
pub const ERIN: &str = "erin@example.com";
/// Occurs in no policy.
pub const STRANGER: &str = "absent@example.com";

/// A service and one of its operations.
#[derive(Debug)]
pub struct Seed {
    pub host: &'static str,
    /// Its name at Google.
    pub name: &'static str,
    pub version: &'static str,
    /// The prefix of its permissions, or `None` if a scope suffices.
    pub permissions: Option<&'static str>,
    /// ErrorInfo.domain of its IAM denials.
    pub domain: &'static str,
    /// The scopes that it accepts, as the challenge writes them.
    pub scopes: &'static str,
    /// Relative names.
    pub parent: &'static str,
    pub operation: &'static str,
    pub elsewhere: &'static str,
    /// The answer to a cancel.
    pub cancelled: &'static [u8],
}

pub const COMPANION_SEED: Seed = Seed {
    host: COMPANION,
    name: "cloudaicompanion.googleapis.com",
    version: "v1",
    permissions: Some("cloudaicompanion"),
    domain: "cloudaicompanion.googleapis.com",
    scopes: "https://www.googleapis.com/auth/cloud-platform",
    parent: "projects/demo/locations/us-central1",
    operation: "projects/demo/locations/us-central1/operations/train-1",
    elsewhere: "projects/other/locations/us-central1/operations/train-1",
    cancelled: b"{}",
};

pub const DATAPROC_SEED: Seed = Seed {
    host: DATAPROC,
    name: "dataproc.googleapis.com",
    version: "v1",
    permissions: Some("dataproc"),
    domain: "iam.googleapis.com",
    scopes: "https://www.googleapis.com/auth/cloud-platform",
    parent: "projects/demo/regions/us-central1",
    operation: "projects/demo/regions/us-central1/operations/job-1",
    elsewhere: "projects/other/regions/us-central1/operations/job-1",
    cancelled: b"{}",
};

pub const TRANSLATION_SEED: Seed = Seed {
    host: TRANSLATION,
    name: "translation.googleapis.com",
    version: "v3",
    permissions: None,
    domain: "iam.googleapis.com",
    scopes: "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/cloud-translation",
    parent: "projects/demo",
    operation: "projects/demo/operations/batch-1",
    elsewhere: "projects/other/operations/batch-1",
    cancelled: b"",
};

pub const SEEDS: [&Seed; 3] = [&COMPANION_SEED, &DATAPROC_SEED, &TRANSLATION_SEED];

impl Seed {
    /// A request for a relative name, with a verb or without.
    pub fn call(&self, method: &str, relative: &str) -> Req {
        Req::new(method, self.host, &format!("/{}/{relative}", self.version))
    }

    /// The cancel of its operation, without a credential.
    pub fn cancel(&self) -> Req {
        self.call("POST", &format!("{}:cancel", self.operation))
    }
}
