//! What every front end calls: it decides, waits, admits and records.

pub mod event;
