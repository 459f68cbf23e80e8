//! The credential of a request: `Authorization: Bearer TOKEN`, once (RFC 6750, section 2.1).
//!
//! A credential that two readers could find in different places, or cut out differently, is refused rather than
//! searched for: a second field, another scheme, a second space, a byte that no token has.

use crate::reason::{Denial, Reason};

/// Longer tokens are refused before anything of them is decoded. Bytes.
pub(super) const MAX_TOKEN: usize = 16 * 1024;

/// The bearer token of the `Authorization` fields, or `None` where there is no such field.
///
/// # Errors
/// More than one field, another scheme than Bearer, or what is no `b64token`.
pub(super) fn token<'a>(authorization: &[&'a [u8]]) -> Result<Option<&'a str>, Denial> {
    let value = match authorization {
        [] => return Ok(None),
        [value] => *value,
        _ => {
            let detail = format!("{} Authorization header fields", authorization.len());
            return Err(Denial::new(Reason::CredentialsOverloaded, detail));
        }
    };
    let (scheme, token) = match value.iter().position(|byte| *byte == b' ') {
        Some(space) => (value.get(..space).unwrap_or_default(), value.get(space + 1..).unwrap_or_default()),
        None => (value, &[][..]),
    };
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(Denial::new(Reason::CredentialTypeUnsupported, "the authorization scheme is not Bearer"));
    }
    if token.len() > MAX_TOKEN {
        let detail = format!("the token has {} bytes, more than {MAX_TOKEN}", token.len());
        return Err(Denial::new(Reason::TokenInvalid, detail));
    }
    match std::str::from_utf8(token) {
        Ok(token) if is_b64token(token) => Ok(Some(token)),
        _ => Err(Denial::new(
            Reason::TokenInvalid,
            "what follows `Bearer` and one space is not a b64token (RFC 6750, section 2.1)",
        )),
    }
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(authorization: &[&[u8]]) -> Reason {
        token(authorization).unwrap_err().reason()
    }

    #[test]
    fn no_field_is_no_credential() {
        assert_eq!(token(&[]).unwrap(), None);
    }

    #[test]
    fn the_scheme_is_compared_without_case() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEARER"] {
            let value = format!("{scheme} a.b-c_d~e+f/g==");
            assert_eq!(token(&[value.as_bytes()]).unwrap(), Some("a.b-c_d~e+f/g=="));
        }
    }

    #[test]
    fn two_authorization_fields_are_refused_even_when_equal() {
        assert_eq!(reason(&[b"Bearer a", b"Bearer a"]), Reason::CredentialsOverloaded);
        assert_eq!(reason(&[b"", b"Bearer a"]), Reason::CredentialsOverloaded);
    }

    #[test]
    fn other_schemes_are_refused() {
        for value in
            ["Basic dTpw", "DPoP a", "Bearerx a", "xBearer a", "", " Bearer a", "Bearer\ta", "Bearer,a"]
        {
            assert_eq!(reason(&[value.as_bytes()]), Reason::CredentialTypeUnsupported, "{value:?}");
        }
    }

    #[test]
    fn what_is_no_b64token_is_refused() {
        let values: [&[u8]; 12] = [
            b"Bearer",
            b"Bearer ",
            b"Bearer  a",
            b"Bearer a ",
            b"Bearer a b",
            b"Bearer a,Bearer b",
            b"Bearer \"a\"",
            b"Bearer =",
            b"Bearer a=b",
            b"Bearer a\0",
            b"Bearer \xff",
            "Bearer a\u{e9}".as_bytes(),
        ];
        for value in values {
            assert_eq!(reason(&[value]), Reason::TokenInvalid, "{value:?}");
        }
    }

    #[test]
    fn the_bound_is_exact() {
        let at = format!("Bearer {}", "a".repeat(MAX_TOKEN));
        assert!(token(&[at.as_bytes()]).is_ok());
        let above = format!("Bearer {}", "a".repeat(MAX_TOKEN + 1));
        assert_eq!(reason(&[above.as_bytes()]), Reason::TokenInvalid);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_the_value_after_the_scheme(value in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some(token)) = token(&[&value]) {
                prop_assert_eq!(token.as_bytes(), &value["Bearer ".len()..]);
            }
        }
    }
}
