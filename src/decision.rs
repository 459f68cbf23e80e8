//! Decides, without I/O and without a clock: the stages of a request, from its head to the permit.

pub mod body;
pub mod snapshot;
pub mod stages;
