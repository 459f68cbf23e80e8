//! The sections of the first page, one file each.

pub(super) mod backends;
pub(super) mod cancels;
pub(super) mod certificates;
pub(super) mod changes;
pub(super) mod decisions;
pub(super) mod denied;
pub(super) mod find;
pub(super) mod keys;
pub(super) mod room;
pub(super) mod services;
