//! The process: sockets, signals, and the announcement that it serves.

pub(crate) mod announcement;
pub(crate) mod open_files;
pub(crate) mod signals;
pub(crate) mod sockets;
