//! Credentials: no input without the issuer's key is accepted as a caller.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use opgate::authn::{Authentication, Authenticator, IssuerSettings, KeySource};
use opgate::dev::mint::Mint;
use opgate::signing::{SigningAlgorithm, SigningKey};

/// The first second of 2026.
const NOW: Duration = Duration::from_secs(1_767_225_600);

static GATE: LazyLock<Authenticator> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = SigningKey::generate(SigningAlgorithm::Es256, Some("k")).unwrap();
    std::fs::write(file.path(), key.jwks().to_string()).unwrap();
    let keys = KeySource::File(file.path().to_owned());
    let settings = IssuerSettings::new("fuzz", "https://issuer.example", "https://gate.example", keys);
    Authenticator::load(vec![settings], SystemTime::UNIX_EPOCH + NOW).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let mut value = b"Bearer ".to_vec();
    value.extend_from_slice(bytes);
    let caller = GATE.authenticate(&[&value], SystemTime::UNIX_EPOCH + NOW);
    assert!(!matches!(caller, Ok(Authentication::Token(_))), "accepted {:?}", String::from_utf8_lossy(bytes));
});
