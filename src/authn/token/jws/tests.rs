//! Wycheproof's JSON web signatures through the verifier.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::authn::jwks::KeySet;

/// Valid cases that are refused on purpose, with the reason.
const STRICTER: [(&[u64], &str); 3] = [
    (&[1, 348, 352, 357, 358, 359, 372, 373, 376, 377], "HMAC: a gate that checked it could forge it"),
    (&[347, 351], "ES512 is not supported"),
    (&[346, 350], "signed with PS384 by a key whose `alg` is PS256"),
];

fn cases() -> Option<Value> {
    let Some(corpora) = std::env::var_os("OPGATE_CORPORA") else {
        eprintln!("skipped: OPGATE_CORPORA names no folder");
        return None;
    };
    let path = PathBuf::from(corpora).join("wycheproof/json_web_signature_test.json");
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

fn accepts(keys: &KeySet, token: &str) -> bool {
    Jws::parse(token)
        .is_ok_and(|jws| keys.select(jws.named(), jws.algorithm()).is_ok_and(|key| jws.is_signed_by(key)))
}

#[test]
fn wycheproof_has_no_false_accept_and_no_unexplained_refusal() {
    let Some(corpus) = cases() else { return };
    let mut stricter = Vec::new();
    let mut judged = 0;
    for group in corpus["testGroups"].as_array().unwrap() {
        // A group without a public key is an HMAC group: its secret is offered as a key set like the others.
        let jwk = group.get("public").unwrap_or(&group["private"]);
        let document = json!({ "keys": [jwk] }).to_string();
        let keys = KeySet::parse(document.as_bytes(), Algorithm::ALL).ok();
        for case in group["tests"].as_array().unwrap() {
            let (id, comment) = (case["tcId"].as_u64().unwrap(), &case["comment"]);
            let token = case["jws"].as_str().unwrap();
            let accepted = keys.as_ref().is_some_and(|keys| accepts(keys, token));
            match (case["result"] == "valid", accepted) {
                (true, false) => stricter.push(id),
                (false, true) => panic!("case {id} ({comment}) was accepted"),
                _ => {}
            }
            judged += 1;
        }
    }
    let mut explained: Vec<_> = STRICTER.iter().flat_map(|(ids, _)| ids.iter().copied()).collect();
    explained.sort_unstable();
    assert_eq!(stricter, explained);
    assert_eq!(judged, corpus["numberOfTests"].as_u64().unwrap());
}
