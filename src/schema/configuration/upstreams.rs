//! `upstreams` of the operator's file.

use crate::schema::shape::Shape::{self, Duration, Either, List, Path, Several, Text, Whole, Words};
use crate::schema::shape::{Mapping, key, required};

pub(super) const UPSTREAM: Mapping = Mapping::ours(
    "upstream",
    &[
        required(
            "endpoints",
            Several(&Either(&[Text, Shape::Mapping(&ENDPOINT)])),
            "Where it listens: `host:port`, with a name or an address. Each address of a name is an endpoint. Or `{srv: NAME}`.",
        ),
        key("protocol", Words(&["h1", "h2c", "h2"]), "HTTP/1.1, HTTP/2 without TLS, or HTTP/2 over TLS.")
            .or("h1"),
        key(
            "tls",
            Shape::Mapping(&UPSTREAM_TLS),
            "TLS to the endpoints. Their certificates are always verified.",
        ),
        key("timeouts", Shape::Mapping(&TIMEOUTS), "How long the parts of an exchange may take."),
        key("limits", Shape::Mapping(&LIMITS), "How many requests it gets at one time."),
        key(
            "outliers",
            Shape::Mapping(&OUTLIERS),
            "When an endpoint that keeps failing is left out for a while.",
        ),
        key(
            "health_check",
            Shape::Mapping(&HEALTH_CHECK),
            "Asks each endpoint whether it is well. By default, none is asked.",
        ),
    ],
);

const UPSTREAM_TLS: Mapping = Mapping::ours(
    "upstream_tls",
    &[
        key("ca", Path, "PEM file of the only CAs that are trusted. By default, those of the system."),
        key("sni", Text, "The name in the certificates of the endpoints. By default, their host."),
        key("cert", Path, "PEM file of the certificate that opgate shows if it is asked for one."),
        key("key", Path, "PEM file of its private key."),
    ],
);

const TIMEOUTS: Mapping = Mapping::ours(
    "timeouts",
    &[
        key("connect", Duration, "For a connection; then another endpoint is tried, once.").or("2s"),
        key("response", Duration, "Between two reads of an answer; then 504.").or("60s"),
        key("total", Duration, "For the whole exchange; then 504, or an answer that has begun is cut.")
            .or("10m"),
        key("idle", Duration, "How long an unused connection is kept. Must be shorter than at the backend.")
            .or("60s"),
        key(
            "grpc_idle",
            Duration,
            "How long neither side of a gRPC stream may send anything. `total` does not bound a stream.",
        )
        .or("5m"),
    ],
);

const LIMITS: Mapping = Mapping::ours(
    "upstream_limits",
    &[
        key("requests", Whole(1, 1_000_000), "At one time, over all endpoints.").or("10000"),
        key("pending", Whole(1, 1_000_000), "Requests that wait for one of them to end; one more gets 503.")
            .or("1000"),
        key("pending_timeout", Duration, "How long they wait; then 503.").or("1s"),
    ],
);

const OUTLIERS: Mapping = Mapping::ours(
    "outliers",
    &[
        key("failures", Whole(1, 1000), "Failures in a row after which an endpoint is left out.").or("5"),
        key("ejection", Duration, "For how long, at first. Each further failure doubles it.").or("10s"),
        key("longest_ejection", Duration, "The longest that it becomes.").or("5m"),
    ],
);

const HEALTH_CHECK: Mapping = Mapping::ours(
    "health_check",
    &[
        key("path", Text, "A path that must answer a GET with 2xx. Without it, a connection is enough."),
        key("interval", Duration, "From one check to the next.").or("5s"),
        key("timeout", Duration, "For one check.").or("2s"),
        key("unhealthy_after", Whole(1, 1000), "Failed checks in a row.").or("3"),
        key("healthy_after", Whole(1, 1000), "Good checks in a row.").or("2"),
    ],
);

const ENDPOINT: Mapping = Mapping::ours(
    "endpoint_by_srv",
    &[required(
        "srv",
        Text,
        "The name of a service, like `_http._tcp.backend.internal`: its SRV records name hosts and ports.",
    )],
);

pub(super) const DNS: Mapping = Mapping::ours(
    "dns",
    &[
        key("servers", List(&Text), "IP addresses of DNS servers, with a port if it is not 53. By default, those of /etc/resolv.conf.").or("[]"),
        key("refresh", Duration, "The longest time between two look-ups of a name. Its records may say a shorter one.").or("30s"),
        key("timeout", Duration, "For one look-up.").or("10s"),
    ],
);
