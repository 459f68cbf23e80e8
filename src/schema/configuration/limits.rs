//! `limits` of the operator's file.

use crate::schema::shape::Shape::{Duration, Size, Whole};
use crate::schema::shape::{Mapping, key};

pub(super) const LIMITS: Mapping = Mapping::ours(
    "limits",
    &[
        key("head_bytes", Size, "Request line and headers, at most 1MiB.").or("32KiB"),
        key("head_fields", Whole(1, 256), "Header fields of a request.").or("100"),
        key("target_bytes", Size, "Path and query together.").or("8KiB"),
        key("head_timeout", Duration, "From the first byte of a head to its last.").or("10s"),
        key("handshake_timeout", Duration, "From the connection to the end of its TLS handshake.").or("10s"),
        key("token_bytes", Size, "Of a head, for its token. At most `head_bytes`.").or("16KiB"),
        key("message_bytes", Size, "JSON bodies, as sent and inflated, at most 10MiB.").or("64KiB"),
        key("stream_bytes", Size, "Bodies that are streamed.").or("64MiB"),
        key("body_timeout", Duration, "For a body to arrive.").or("30s"),
        key("write_timeout", Duration, "For a client to take the bytes that are sent to it.").or("10s"),
        key("idle_timeout", Duration, "Between two requests of a connection, and before its first one.")
            .or("60s"),
        key("connections", Whole(1, 1_000_000), "Connections of clients at one time, on all listeners.")
            .or("10000"),
        key("connections_per_address", Whole(1, 1_000_000), "Those of one address; for IPv6, of one /64.")
            .or("1000"),
        key("held_bytes", Size, "JSON bodies over 64KiB at one time, in memory.").or("256MiB"),
        key("requests", Whole(1, 1_000_000), "Allowed requests at one time.").or("10000"),
        key("requests_per_principal", Whole(1, 1_000_000), "Those of one caller.").or("1000"),
        key("requests_per_address", Whole(1, 1_000_000), "Those of one client address.").or("1000"),
        key("pending_requests", Whole(1, 1_000_000), "Over HTTP/2, requests that are not allowed yet.")
            .or("1000"),
        key("pending_requests_per_address", Whole(1, 1_000_000), "Those of one client address.").or("250"),
        key("http2_streams", Whole(1, 10_000), "Requests of one HTTP/2 connection at one time.").or("100"),
        key("http2_resets", Whole(1, 10_000), "Of its streams, those that may be reset ahead of answers.")
            .or("100"),
        key("connection_lifetime", Duration, "Then the client is told to open another connection.").or("1h"),
        key(
            "drain_delay",
            Duration,
            "From SIGTERM until listeners close. Requests are served, and `health_path` and `/readyz` say 503.",
        )
        .or("0s"),
        key("grace_period", Duration, "From then until connections are cut.").or("30s"),
    ],
);
