//! opgate.
pub mod catalog;
pub mod cli;
pub mod demo;
pub mod diagnostic;
pub mod document;
pub mod http;
pub mod json;
pub mod principal;
pub mod reason;
pub mod signing;
