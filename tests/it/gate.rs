//! The matrix: who may call what at each of the three services, and how everything else is refused.
//!
//! Each row is sent over HTTP/1.1 and over HTTP/2 and must be answered alike, to the byte where it is refused, and
//! the backend must have seen of it what it is meant to see: of a refused request, nothing.

mod allowed;
mod conditions;
mod credentials;
mod permissions;
mod requests;
mod row;
mod seed;
mod tags;
mod unmatched;
