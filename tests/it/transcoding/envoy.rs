//! The same requests through Envoy.
