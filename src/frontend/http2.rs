//! HTTP/2: a connection, and the requests on its streams.

mod account;
mod body;
mod connection;
mod request;

pub(super) use self::connection::serve;
