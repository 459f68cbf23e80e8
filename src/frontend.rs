//! HTTP/1 and HTTP/2: what clients speak with the gate.
//!
//! A front end is thin. It reads a request, has the engine decide, and then either answers by itself or hands the admitted
//! exchange to what forwards it.
//!
//! ```text
//! connection ─► head ─► Request ─► Engine ─┬─► Admitted ─► proxy ─► upstream
//!                                          └─► Denial ───► answer
//! ```

mod answer;
mod authorizer;
mod authzen;
mod date;
mod ext_authz;
mod forward_auth;
mod handler;
mod http;
mod http1;
mod http2;
mod read;

pub use self::http::Http;
