//! The `status` of a line, by the codes of google.rpc.Code.

use crate::reason::{code_name, code_of_http};

impl super::Status<'static> {
    /// A code, with its name as the message.
    pub fn of_code(code: u8) -> Self {
        Self { code, message: if code == 0 { "" } else { code_name(code) } }
    }

    /// What an HTTP status says.
    pub fn of_http(status: u16) -> Self {
        Self::of_code(code_of_http(status))
    }
}
