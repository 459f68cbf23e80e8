//! opgate.
pub mod authn;
pub mod catalog;
pub mod diagnostic;
pub mod document;
pub mod http;
pub mod json;
pub mod principal;
pub mod reason;
pub mod signing;
