//! The codes of google.rpc.Code: their names and numbers, and which of them an HTTP status is
//! (google/rpc/code.proto).

/// The names, by number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a code; empty where there is none with this number.
pub fn code_name(code: u8) -> &'static str {
    NAMES.get(usize::from(code)).copied().unwrap_or_default()
}

/// The number of a code, as `google.rpc.Status.code` holds it; that of `UNKNOWN` for another name.
pub fn code_number(name: &str) -> u8 {
    let found = NAMES.iter().position(|known| *known == name);
    found.and_then(|place| u8::try_from(place).ok()).unwrap_or(2)
}

/// What an HTTP status says, as google/rpc/code.proto maps codes to statuses. A status of no code has the one that the gate
/// uses with it, else its class tells.
pub fn code_of_http(status: u16) -> u8 {
    match status {
        ..400 => 0,
        400 | 405 | 413..=415 | 421 | 431 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        408 | 504 => 4,
        409 => 10,
        416 => 11,
        429 => 8,
        499 => 1,
        501 => 12,
        502 | 503 => 14,
        _ if status < 500 => 9,
        _ => 13,
    }
}

/// The HTTP status of a code (google/rpc/code.proto); that of `UNKNOWN` for a number that is not one.
pub fn http_of_code(code: u8) -> u16 {
    const STATUSES: [u16; 17] =
        [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
    STATUSES.get(usize::from(code)).copied().unwrap_or(500)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn each_code_has_a_status_of_its_class() {
        for code in 0..17 {
            let back = code_of_http(http_of_code(code));
            assert_eq!(http_of_code(back), http_of_code(code), "{code}");
        }
        assert_eq!(http_of_code(17), http_of_code(2));
    }

    #[test]
    fn a_status_of_http_has_the_code_that_google_maps_to_it() {
        let rows = [
            (200, "OK"),
            (304, "OK"),
            (400, "INVALID_ARGUMENT"),
            (401, "UNAUTHENTICATED"),
            (403, "PERMISSION_DENIED"),
            (404, "NOT_FOUND"),
            (409, "ABORTED"),
            (412, "FAILED_PRECONDITION"),
            (429, "RESOURCE_EXHAUSTED"),
            (499, "CANCELLED"),
            (500, "INTERNAL"),
            (503, "UNAVAILABLE"),
            (504, "DEADLINE_EXCEEDED"),
        ];
        for (http, name) in rows {
            assert_eq!(code_name(code_of_http(http)), name, "{http}");
            assert_eq!(code_number(name), code_of_http(http), "{name}");
        }
    }

    /// A 405 of a backend had another code in the audit log than one of the gate.
    #[test]
    fn a_backends_status_has_the_code_of_the_same_status_of_the_gate() {
        for row in Reason::ALL.iter().map(|reason| reason.entry()) {
            assert_eq!(code_name(code_of_http(row.status)), row.code, "{}", row.name);
        }
    }
}
