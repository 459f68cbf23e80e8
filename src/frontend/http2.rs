//! HTTP/2: a connection, and the requests on its streams.

mod account;
mod asked;
mod body;
mod client;
mod connection;
mod request;
mod stream;

pub(super) use self::connection::serve;
