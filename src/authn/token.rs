//! Signed tokens: JWS, JWT, the claims in them, what is not confirmed yet, and the cache of those that were verified.

pub(super) mod cache;
pub(super) mod claim;
pub(super) mod claims;
pub(super) mod confirmation;
pub(super) mod identity;
pub(super) mod jws;
pub(super) mod jwt;
pub(super) mod self_signed;
pub(super) mod spiffe;
pub(super) mod unconfirmed;
