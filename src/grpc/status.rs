//! The status of a call: what trailers say of it, and what an answer says that is not one of gRPC
//! ("HTTP to gRPC Status Code Mapping").

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The field with the number of a google.rpc.Code.
pub const STATUS: &str = "grpc-status";
/// The field with the text of an error.
pub const MESSAGE: &str = "grpc-message";
/// The field with a google.rpc.Status.
pub const DETAILS: &str = "grpc-status-details-bin";

/// What `grpc-message` percent-encodes: all but visible ASCII and blanks, and `%` itself.
const IN_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// A text as `grpc-message` has it.
pub fn message(text: &str) -> String {
    utf8_percent_encode(text, IN_MESSAGE).to_string()
}

/// The code in `grpc-status`; `None` where it is not a number of a code. Unknown codes are UNKNOWN (2).
pub fn code(value: &[u8]) -> Option<u8> {
    let digits = (1..=3).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits)?.parse::<u16>().ok()?;
    Some(u8::try_from(number).ok().filter(|code| *code <= 16).unwrap_or(2))
}

/// The code of an answer with this HTTP status that is not one of gRPC.
pub fn code_of_answer(http_status: u16) -> u8 {
    match http_status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The HTTP status of a code (google/rpc/code.proto).
pub fn http_of(code: u8) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(message("Permission denied."), "Permission denied.");
        assert_eq!(message("100% \u{e9}\n"), "100%25 %C3%A9%0A");
    }

    #[test]
    fn a_code_is_a_number() {
        assert_eq!(code(b"0"), Some(0));
        assert_eq!(code(b"16"), Some(16));
        assert_eq!(code(b"17"), Some(2));
        assert_eq!(code(b"999"), Some(2));
        for bad in [&b""[..], b"-1", b"a", b"0000", b" 0"] {
            assert_eq!(code(bad), None);
        }
    }
}
