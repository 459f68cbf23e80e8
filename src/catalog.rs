//! What can be called.
pub mod method;
pub use self::method::{BodyRule, Call, Exposure, Method, PermissionRule};
