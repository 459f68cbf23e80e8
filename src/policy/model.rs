//! The policy as it is written: allow, deny and role files, with their places.

pub mod allow;
pub(crate) mod boundary;
pub mod deny;
pub mod groups;
pub mod hierarchy;
pub mod member;
pub(crate) mod principal_set;
pub mod resource;
pub mod role;
pub(super) mod tags;

pub(super) use self::principal_set::PrincipalSet;
