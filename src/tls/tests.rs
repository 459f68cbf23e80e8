use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

use super::*;
use crate::http::NoCaller;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn with_uris(uris: &[&str]) -> Certificate {
    let mut params = CertificateParams::new(vec!["A.test".to_owned()]).unwrap();
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
    }
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let key = KeyPair::generate().unwrap();
    Certificate::read(params.signed_by(&key, &authority()).unwrap().der()).unwrap()
}

#[test]
fn a_holder_is_named_by_exactly_one_uri() {
    let certificate = with_uris(&["spiffe://a.test/ns/b"]);
    assert_eq!(certificate.uri(), Ok("spiffe://a.test/ns/b"));
    assert!(certificate.names.cover("a.test"));
    assert!(
        certificate.until > std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000)
    );
    assert_eq!(with_uris(&[]).uri(), Err(NoCaller::WithoutUri));
    let several = with_uris(&["spiffe://a.test/b", "spiffe://a.test/c"]);
    assert_eq!(several.uri(), Err(NoCaller::SeveralUris));
    for odd in ["", "spiffe://a.test/b c", "spiffe://a.test/\0", "spiffe://a.test/\n"] {
        assert_eq!(with_uris(&[odd]).uri(), Err(NoCaller::OddUri), "{odd:?}");
    }
}

#[test]
fn files_without_a_certificate_are_refused() {
    assert!(Certificate::read(b"").is_none());
    assert!(Certificate::read(b"\x30\x03\x02\x01\x00").is_none());
    let mut trailing = authority().der().to_vec();
    assert!(Certificate::read(&trailing).is_some());
    trailing.push(0);
    assert!(Certificate::read(&trailing).is_none());
}

#[test]
fn a_key_never_shows() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (directory.path().join("a.pem"), directory.path().join("a-key.pem"));
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    std::fs::write(&chain, params.signed_by(&pair, &authority()).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let identity = TlsIdentity::load(&chain, &key).unwrap();
    assert_eq!(identity.key(), pair.serialize_der());
    let shown = format!("{identity:?}");
    let secret: Vec<String> = pair.serialize_der().iter().rev().take(16).map(u8::to_string).collect();
    assert!(!shown.contains(&secret.join(", ")) && shown.contains("[secret key elided]"), "{shown}");

    // A key that is cut off is not quoted either.
    let whole = pair.serialize_pem();
    std::fs::write(&key, whole.split("-----END").next().unwrap()).unwrap();
    let (_, flaw) = TlsIdentity::load(&chain, &key).unwrap_err();
    let body = whole.lines().nth(1).unwrap();
    assert!(!format!("{flaw:?}").contains(body));
}
