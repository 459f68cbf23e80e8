//! The codes of google.rpc.Code.

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

/// The name of a code.
pub(super) fn code_name(code: u8) -> &'static str {
    NAMES.get(usize::from(code)).copied().unwrap_or_default()
}

impl super::Status<'static> {
    /// A code, with its name as the message.
    pub fn of_code(code: u8) -> Self {
        Self { code, message: if code == 0 { "" } else { code_name(code) } }
    }

    /// What an HTTP status says, as google/rpc/code.proto maps codes to statuses. Of a status that no code has, the class
    /// tells.
    pub fn of_http(status: u16) -> Self {
        let code = match status {
            ..400 => 0,
            400 => 3,
            401 => 16,
            403 => 7,
            404 => 5,
            408 | 504 => 4,
            409 => 10,
            416 => 11,
            429 => 8,
            499 => 1,
            501 => 12,
            503 => 14,
            _ if status < 500 => 9,
            _ => 13,
        };
        Self::of_code(code)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;

    #[test]
    fn a_status_of_http_has_the_code_that_google_maps_to_it() {
        let rows = [
            (200, 0, ""),
            (304, 0, ""),
            (400, 3, "INVALID_ARGUMENT"),
            (401, 16, "UNAUTHENTICATED"),
            (403, 7, "PERMISSION_DENIED"),
            (404, 5, "NOT_FOUND"),
            (409, 10, "ABORTED"),
            (412, 9, "FAILED_PRECONDITION"),
            (429, 8, "RESOURCE_EXHAUSTED"),
            (499, 1, "CANCELLED"),
            (500, 13, "INTERNAL"),
            (502, 13, "INTERNAL"),
            (503, 14, "UNAVAILABLE"),
            (504, 4, "DEADLINE_EXCEEDED"),
        ];
        for (http, code, name) in rows {
            let status = Status::of_http(http);
            assert_eq!((status.code, status.message), (code, name), "{http}");
        }
    }
}
