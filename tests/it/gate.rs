//! The matrix: who may call what at each of the three services, and how everything else is refused.
//!
//! Each row is sent over HTTP/1.1 and over HTTP/2. A refusal must be the same over both, to the byte. The backend must
//! see exactly what it should; of a refused request, nothing.

pub mod allowed;
pub mod conditions;
pub mod credentials;
pub mod permissions;
pub mod requests;
mod row;
mod seed;
pub mod tags;
pub mod unmatched;
