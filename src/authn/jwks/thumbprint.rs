//! The thumbprint of a public key (RFC 7638).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The thumbprint of a JWK, or `None` where one of the members that make up such a key is missing or not a string. It
/// does not check that the key is valid.
pub(in crate::authn) fn of(jwk: &Map<String, Value>) -> Option<String> {
    // In the order of their names (RFC 7638, section 3.2; RFC 8037, section 2).
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut named = Map::new();
    for member in members {
        let value = jwk.get(*member).filter(|value| value.is_string())?;
        named.insert((*member).to_owned(), value.clone());
    }
    let text = Value::Object(named).to_string();
    Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn thumbprint(jwk: Value) -> Option<String> {
        of(jwk.as_object().unwrap())
    }

    #[test]
    fn the_keys_of_the_rfcs_have_the_thumbprints_of_the_rfcs() {
        // RFC 7638, section 3.1.
        let rsa = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        });
        assert_eq!(thumbprint(rsa).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        // RFC 8037, appendix A.3.
        let ed25519 =
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(thumbprint(ed25519).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        // RFC 9449, figures 2 and 9.
        let ec = json!({
            "kty": "EC", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA", "crv": "P-256",
        });
        assert_eq!(thumbprint(ec).unwrap(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }

    #[test]
    fn a_jwk_that_is_not_a_public_key_has_no_thumbprint() {
        for jwk in [
            json!({}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "ec", "crv": "P-256", "x": "a", "y": "b"}),
            json!({"kty": "EC", "crv": "P-256", "x": "a"}),
            json!({"kty": "EC", "crv": "P-256", "x": "a", "y": 1}),
            json!({"kty": ["EC"], "crv": "P-256", "x": "a", "y": "b"}),
        ] {
            assert_eq!(thumbprint(jwk.clone()), None, "{jwk}");
        }
    }
}
