//! Why a file stays as it is.

/// What cannot be written anew.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Where it stands.
    pub(super) at: usize,
    pub(super) message: &'static str,
    pub(super) help: &'static str,
}

impl Refusal {
    /// Something whose lines cannot be moved safely.
    pub(super) fn of(at: usize, message: &'static str) -> Self {
        Self {
            at,
            message,
            help: "write it without; `opgate fmt` moves lines, and could change what this means",
        }
    }
}
