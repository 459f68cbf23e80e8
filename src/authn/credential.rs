//! The credential of a request: a token and the scheme that it is sent under, once. Any client that has the token may
//! send it as `Bearer` (RFC 6750, section 2.1); `DPoP` (RFC 9449, section 7.1) needs a key beside it.
//!
//! A credential that two readers could find in different places, or cut out differently, is refused: a second field,
//! another scheme, a second space, a byte that no token has.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memchr;

use crate::bytewise;
use crate::reason::{Denial, Reason};

/// The default for the longest token. Longer ones are refused before anything of them is decoded. Bytes.
pub(super) const MAX_TOKEN: usize = 16 * 1024;

/// How a token is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthScheme {
    /// By itself.
    Bearer,
    /// With a proof in another header field.
    Dpop,
}

/// A token as it was sent. It is never printed.
#[derive(Clone, Copy)]
pub(super) struct Credential<'a> {
    pub(super) scheme: AuthScheme,
    pub(super) token: &'a str,
}

/// How a token was sent, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presentation {
    /// By itself.
    Bearer,
    /// With a proof, which has to name the token: by this, its `ath` (RFC 9449, section 4.2).
    Dpop(String),
}

impl<'a> Credential<'a> {
    /// Reads the `Authorization` fields; `None` where there is none. `longest` bounds the token, in bytes.
    ///
    /// # Errors
    /// More than one field, another scheme, a token that is too long, or what is not a `b64token`.
    pub(super) fn of(authorization: &[&'a [u8]], longest: usize) -> Result<Option<Self>, Denial> {
        let value = match authorization {
            [] => return Ok(None),
            [value] => *value,
            _ => {
                let detail = format!("{} Authorization header fields", authorization.len());
                return Err(Denial::new(Reason::CredentialsOverloaded, detail));
            }
        };
        let (scheme, token) = match memchr(b' ', value) {
            Some(space) => {
                (value.get(..space).unwrap_or_default(), value.get(space + 1..).unwrap_or_default())
            }
            None => (value, &[][..]),
        };
        let scheme = if scheme.eq_ignore_ascii_case(b"Bearer") {
            AuthScheme::Bearer
        } else if scheme.eq_ignore_ascii_case(b"DPoP") {
            AuthScheme::Dpop
        } else {
            let detail = "the authorization scheme is neither Bearer nor DPoP";
            return Err(Denial::new(Reason::CredentialTypeUnsupported, detail));
        };
        if token.len() > longest {
            let bytes = token.len();
            let detail = format!("the token has {bytes} bytes, more than {longest} (`limits.token_bytes`)");
            return Err(Denial::new(Reason::TokenTooLarge, detail));
        }
        match std::str::from_utf8(token) {
            Ok(text) if is_b64token(token) => Ok(Some(Self { scheme, token: text })),
            _ => Err(scheme.answer(Denial::new(
                Reason::TokenInvalid,
                "what follows the scheme and one space is not a b64token (RFC 6750, section 2.1)",
            ))),
        }
    }
}

impl Credential<'_> {
    /// What is left of it once the token has been judged.
    pub(super) fn presentation(&self) -> Presentation {
        match self.scheme {
            AuthScheme::Bearer => Presentation::Bearer,
            AuthScheme::Dpop => {
                let hash = digest::digest(&digest::SHA256, self.token.as_bytes());
                Presentation::Dpop(URL_SAFE_NO_PAD.encode(hash))
            }
        }
    }
}

impl Presentation {
    /// A refusal that challenges in the scheme that the client speaks.
    pub(super) fn answer(&self, denial: Denial) -> Denial {
        match self {
            Self::Bearer => denial,
            Self::Dpop(_) => denial.over_dpop(),
        }
    }
}

impl AuthScheme {
    /// A refusal that challenges in the scheme that the client speaks.
    pub(super) fn answer(self, denial: Denial) -> Denial {
        match self {
            Self::Bearer => denial,
            Self::Dpop => denial.over_dpop(),
        }
    }
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(token: &[u8]) -> bool {
    let mut body = token;
    while let [rest @ .., b'='] = body {
        body = rest;
    }
    // `-`, `.`, `/` and the digits follow one another.
    !body.is_empty()
        && bytewise::all(body, |byte| {
            byte.is_ascii_alphabetic()
                | (b'-'..=b'9').contains(&byte)
                | (byte == b'+')
                | (byte == b'_')
                | (byte == b'~')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token<'a>(authorization: &[&'a [u8]]) -> Result<Option<&'a str>, Denial> {
        Ok(Credential::of(authorization, MAX_TOKEN)?.map(|credential| credential.token))
    }

    fn reason(authorization: &[&[u8]]) -> Reason {
        token(authorization).unwrap_err().reason()
    }

    #[test]
    fn without_the_field_there_is_no_credential() {
        assert_eq!(token(&[]).unwrap(), None);
    }

    #[test]
    fn the_scheme_is_compared_without_case() {
        for (name, scheme) in [
            ("Bearer", AuthScheme::Bearer),
            ("bearer", AuthScheme::Bearer),
            ("BEARER", AuthScheme::Bearer),
            ("bEARER", AuthScheme::Bearer),
            ("DPoP", AuthScheme::Dpop),
            ("dpop", AuthScheme::Dpop),
        ] {
            let value = format!("{name} a.b-c_d~e+f/g==");
            let credential = Credential::of(&[value.as_bytes()], MAX_TOKEN).unwrap().unwrap();
            assert_eq!((credential.scheme, credential.token), (scheme, "a.b-c_d~e+f/g=="));
        }
    }

    #[test]
    fn two_authorization_fields_are_refused_even_when_equal() {
        assert_eq!(reason(&[b"Bearer a", b"Bearer a"]), Reason::CredentialsOverloaded);
        assert_eq!(reason(&[b"", b"Bearer a"]), Reason::CredentialsOverloaded);
    }

    #[test]
    fn other_schemes_are_refused() {
        for value in [
            "Basic dTpw",
            "Bearerx a",
            "xBearer a",
            "DPoPx a",
            "xDPoP a",
            "Bearer,DPoP a",
            "",
            " Bearer a",
            "Bearer\ta",
            "Bearer,a",
        ] {
            assert_eq!(reason(&[value.as_bytes()]), Reason::CredentialTypeUnsupported, "{value:?}");
        }
    }

    #[test]
    fn a_credential_that_is_not_a_b64token_is_refused() {
        let values: [&[u8]; 15] = [
            b"DPoP",
            b"DPoP  a",
            b"DPoP a b",
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
        assert_eq!(reason(&[above.as_bytes()]), Reason::TokenTooLarge);
    }

    #[test]
    fn a_token_has_the_bytes_of_the_rule() {
        for byte in 0..=u8::MAX {
            let allowed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            // In the first sixteen bytes, and behind them.
            for length in [1, 20] {
                let mut token = vec![b'a'; length];
                token[length - 1] = byte;
                token.push(b'a');
                assert_eq!(is_b64token(&token), allowed, "{byte}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_the_value_after_the_scheme(value in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some(token)) = token(&[&value]) {
                prop_assert!(value.ends_with(token.as_bytes()) && value[value.len() - token.len() - 1] == b' ');
            }
        }
    }
}
