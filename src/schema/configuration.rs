//! The operator's file: `config/opgate.yaml`.

mod issuers;
mod limits;
mod upstreams;

use self::issuers::ISSUER;
use self::limits::LIMITS;
use self::upstreams::{DNS, UPSTREAM};
use super::shape::Shape::{
    Boolean, Duration, Either, List, Named, Only, Path, Pattern, Several, Share, Size, Text, Whole, Words,
};
use super::shape::{Key, Mapping, Shape, key, required};

/// IP address and port.
const SOCKET: Shape = Pattern(
    r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]+$",
    "an IP address and a port, like `127.0.0.1:8080` or `[::]:8080`",
);

/// The same, or the path of a Unix socket.
const LISTEN_ADDRESS: Shape = Pattern(
    r"^([0-9.]+:[0-9]+|\[[0-9A-Fa-f:.]+\]:[0-9]+|unix:.+)$",
    "an IP address and a port, like `127.0.0.1:8080` or `[::]:8080`; or `unix:` and the path of a socket",
);

/// Identity pools, as principals name them.
const POOL: Shape = Text;

/// The whole file.
pub(super) const CONFIGURATION: Mapping = Mapping::ours(
    "configuration",
    &[
        required(
            "listeners",
            Several(&Shape::Mapping(&LISTENER)),
            "Where clients connect: HTTP/1.1, and HTTP/2 by ALPN over TLS or by prior knowledge.",
        ),
        key(
            "admin",
            Shape::Mapping(&ADMIN),
            "The operator's address: metrics, readiness, explanations, the console.",
        ),
        required(
            "upstreams",
            Named("the name of an upstream", &Shape::Mapping(&UPSTREAM)),
            "The backends. The endpoints of an upstream are equal and take turns.",
        ),
        key("dns", Shape::Mapping(&DNS), "How the names of endpoints are looked up."),
        required(
            "services",
            Named("the name of a file below `services/` of the policy tree", &Shape::Mapping(&SERVICE)),
            "Which services of the policy tree are exposed, on which hosts, to which upstream.",
        ),
        required(
            "issuers",
            Named("a name for the issuer, used in metrics and logs", &ISSUER),
            "Whose tokens are accepted. Each issuer stands alone: its keys verify its tokens and no others.",
        ),
        required("policy", Shape::Mapping(&POLICY), "The policy tree."),
        key("limits", Shape::Mapping(&LIMITS), "What a client may take."),
        key(
            "trusted_proxies",
            Shape::Mapping(&TRUSTED_PROXIES),
            "Proxies in front of opgate that may say where a client is. By default, none may.",
        ),
        key(
            "assertion",
            Shape::Mapping(&ASSERTION),
            "How opgate tells a backend who calls, in a signed JWT.",
        ),
        key("audit", Shape::Mapping(&AUDIT), "The audit log: one JSON line per decision."),
        key("cancels", Shape::Mapping(&CANCELS), "The cancels whose outcome is watched."),
        key("telemetry", Shape::Mapping(&TELEMETRY), "The operator's log, and where spans go."),
        key(
            "upgrade",
            Shape::Mapping(&UPGRADE),
            "Lets a new process take over the listening sockets. Without it, an upgrade closes them for a moment.",
        ),
        key("workers", Whole(1, 4096), "Threads that serve requests. By default, one per CPU."),
    ],
);

const LISTENER: Mapping = Mapping::ours(
    "listener",
    &[
        required(
            "address",
            LISTEN_ADDRESS,
            "IP address and port to listen on, or a Unix socket. `[::]:8080` takes clients of IPv4 as well.",
        ),
        key("ipv6_only", Boolean, "Whether an address of IPv6 takes clients of IPv6 alone.").or("false"),
        key(
            "mode",
            Pattern(r"^[0-7]{3,4}$", "octal digits, as for chmod: `'0660'`"),
            "Of the file of a Unix socket: who may connect. By default '0600': the user of the process.",
        ),
        key("http2", Boolean, "Whether clients may speak HTTP/2.").or("true"),
        key(
            "health_path",
            Text,
            "Where balancers ask: 200 or, before the gate is ready and while it leaves, 503. By default, nowhere.",
        ),
        key(
            "proxy_protocol",
            Shape::Mapping(&PROXY_PROTOCOL),
            "Every connection begins with a header of the PROXY protocol, version 1 or 2. Its client is the peer.",
        ),
        key(
            "tcp_keep_alive",
            Shape::Mapping(&TCP_KEEP_ALIVE),
            "Finds clients that are gone without a word. By default, they are not looked for.",
        ),
        key(
            "frontend",
            Words(&["http", "ext_authz", "forward_auth", "authzen"]),
            "What it is for: to forward requests, to decide for a proxy that asks (Envoy's ext_authz, or a request of HTTP), or to \
             answer questions of services (AuthZEN).",
        )
        .or("http"),
        key(
            "authorizer",
            Shape::Mapping(&AUTHORIZER),
            "Of a listener that decides for proxies: which may ask, and what they tell.",
        ),
        key("tls", Shape::Mapping(&LISTENER_TLS), "TLS 1.2 and 1.3. Without it, clients speak plain HTTP."),
    ],
);

const AUTHORIZER: Mapping = Mapping::ours(
    "authorizer",
    &[
        key(
            "from",
            Several(&Text),
            "The proxies that may ask: addresses or networks, or `unix`. By default, any on a loopback address, at a Unix \
             socket, or with a certificate that `tls` requires.",
        ),
        key(
            "shape",
            Words(&["nginx", "traefik", "caddy", "haproxy"]),
            "With `forward_auth`: in whose fields the client's request is described.",
        ),
        key(
            "body",
            Words(&["unknown", "announced", "sent"]),
            "What a question tells of the body: nothing, whether there is one (`X-Original-Framing`), or all of it \
             (Envoy's `with_request_body`, Traefik's `forwardBody`). By default, nothing.",
        ),
    ],
);

const PROXY_PROTOCOL: Mapping = Mapping::ours(
    "proxy_protocol",
    &[required(
        "addresses",
        Several(&Text),
        "The proxies: addresses or networks, like `10.0.0.0/8`, or `unix`. Connections from elsewhere are closed.",
    )],
);

const TCP_KEEP_ALIVE: Mapping = Mapping::ours(
    "tcp_keep_alive",
    &[
        key("idle", Duration, "How long nothing moves before the first probe.").or("60s"),
        key("interval", Duration, "Between two probes.").or("10s"),
        key("probes", Whole(1, 127), "Unanswered ones that end the connection.").or("6"),
    ],
);

const LISTENER_TLS: Mapping = Mapping::ours(
    "listener_tls",
    &[
        required(
            "certificates",
            Several(&Shape::Mapping(&CERTIFICATE)),
            "The client gets the one for the name that it asks for (SNI), else the first.",
        ),
        key("client_ca", Path, "PEM file of the CAs that clients' certificates may come from."),
        key(
            "client_certificates",
            Words(&["required", "optional"]),
            "Whether a client has to show a certificate. Needed with `client_ca`, and only with it.",
        ),
        key("client_pool", POOL, "The identity pool whose subject the one URI of a certificate is."),
        key(
            "client_identity",
            Words(&["audit", "principal"]),
            "`audit`: the certificate's principal is in the audit log alone. `principal`: it is the caller if no token is sent.",
        )
        .or("audit"),
        key("client_scopes", List(&Text), "The scopes of a caller by certificate. Needed with `client_identity: principal`."),
    ],
);

const CERTIFICATE: Mapping = Mapping::ours(
    "certificate",
    &[
        required(
            "cert",
            Path,
            "PEM file of the certificate and its chain. It is read again when it changes.",
        ),
        required("key", Path, "PEM file of its private key."),
    ],
);

const ADMIN: Mapping = Mapping::ours(
    "admin",
    &[
        required("address", SOCKET, "IP address and port. Keep it off the internet.").or("127.0.0.1:9901"),
        key("hosts", List(&Text), "Host names that it accepts, beside IP addresses and localhost.").or("[]"),
        key("connections", Whole(1, 10_000), "Connections to each of its addresses.").or("64"),
        key(
            "explain",
            Either(&[Words(&["off"]), Only(false), Shape::Mapping(&EXPLAIN)]),
            "Where what reveals policy is answered, and to which clients. By default at `address`, to every client.",
        ),
        key("recent", Shape::Mapping(&RECENT), "The last decisions, kept in memory to be explained."),
    ],
);

const EXPLAIN: Mapping = Mapping::ours(
    "explain",
    &[
        key("address", SOCKET, "An address of its own."),
        key("token_file", Path, "A file with the token that clients have to send as a bearer token."),
    ],
);

const RECENT: Mapping = Mapping::ours(
    "recent",
    &[
        key("lines", Whole(0, 1_000_000), "How many decisions. Half of them is for denials.").or("2000"),
        key("bytes", Size, "Their memory, at most 1GiB.").or("8MiB"),
    ],
);

const GRPC: Mapping = Mapping::ours(
    "grpc",
    &[
        key(
            "health",
            Words(&["refuse", "pass"]),
            "`grpc.health.v1`: `pass` lets it through without a credential.",
        )
        .or("refuse"),
        key(
            "reflection",
            Words(&["refuse", "pass"]),
            "Reflection: `pass` lets it through with any valid credential.",
        )
        .or("refuse"),
    ],
);

const SERVICE: Mapping = Mapping::ours(
    "service",
    &[
        required("upstream", Text, "The name of the upstream that its requests go to."),
        key("transcode", Boolean, "Whether its HTTP calls go upstream as calls of gRPC: the upstream speaks `h2c` or `h2`, and the descriptor set of the service is beside its file.").or("false"),
        key("hosts", Several(&Text), "The hosts that it answers on; `*` for any. By default, the service's own names."),
        key(
            "forward",
            List(&Words(&["authorization", "principal", "assertion", "request_id", "origin"])),
            "What else goes upstream: the credential, the caller's principal, a signed assertion, the request's id, the client's address.",
        )
        .or("[]"),
        key("request_headers", List(&Text), "The client's headers that go upstream. By default, all but those that only a gateway may set."),
        key("cors", Shape::Mapping(&CORS), "Which web pages may call the service. By default, browsers are told nothing."),
        key("protected_resource", Text, "The URL by which OAuth clients know the service (RFC 9728)."),
        key("limits", Shape::Mapping(&SERVICE_LIMITS), "What its calls may take, in place of `limits` and of the upstream's `timeouts`."),
        key("grpc", Shape::Mapping(&GRPC), "Which calls over gRPC pass beside those of its methods."),
        key("shadow", Either(&[Path, Only(false)]), "A policy tree to try for this service; `false` for none. By default, that of `policy`."),
    ],
);

const MESSAGE_BYTES: Key = key(
    "message_bytes",
    Size,
    "JSON bodies, as sent and inflated, at most 10MiB. By default, `limits.message_bytes`.",
);
const STREAM_BYTES: Key =
    key("stream_bytes", Size, "Bodies that are streamed. By default, `limits.stream_bytes`.");
const STREAM_TIMEOUT: Key =
    key("stream_timeout", Duration, "For a streamed body to arrive. By default, `limits.body_timeout`.");
const DEADLINE: Key = key(
    "deadline",
    Duration,
    "For the whole exchange with the upstream; then 504. By default, `timeouts.total` of the upstream, or the deadline in the service file if that is less.",
);

const SERVICE_LIMITS: Mapping = Mapping::ours(
    "service_limits",
    &[
        MESSAGE_BYTES,
        STREAM_BYTES,
        STREAM_TIMEOUT,
        DEADLINE,
        key(
            "methods",
            Named("the full name of a method", &Shape::Mapping(&METHOD_LIMITS)),
            "The same for one method, before what is said of the service.",
        ),
    ],
);

const METHOD_LIMITS: Mapping =
    Mapping::ours("method_limits", &[MESSAGE_BYTES, STREAM_BYTES, STREAM_TIMEOUT, DEADLINE]);

const CORS: Mapping = Mapping::ours(
    "cors",
    &[
        required("origins", Several(&Text), "Origins of pages: exact, `https://*.example.com`, or `*`."),
        key("methods", List(&Text), "HTTP methods that pages may use. By default, all that a path has."),
        key("headers", List(&Text), "Headers that pages may send.")
            .or(r#"["authorization", "content-type", "dpop", "x-goog-*"]"#),
        key(
            "expose_headers",
            List(&Text),
            "Headers that pages may read, beside those of opgate's own answers.",
        )
        .or("[]"),
        key("credentials", Boolean, "Whether browsers send cookies and client certificates. Not with `*`.")
            .or("false"),
        key("max_age", Duration, "How long a browser keeps the answer to a preflight.").or("10m"),
    ],
);

const POLICY: Mapping = Mapping::ours(
    "policy",
    &[
        required("directory", Path, "The directory of the policy tree."),
        key("shadow", Path, "A tree to try: it is asked about the same calls, and never decides."),
        key(
            "foreign_pools",
            List(&POOL),
            "Identity pools that the tree may name although no issuer or listener here has them.",
        )
        .or("[]"),
    ],
);

const TRUSTED_PROXIES: Mapping = Mapping::ours(
    "trusted_proxies",
    &[
        required(
            "addresses",
            Several(&Text),
            "Their addresses or networks, like `10.0.0.0/8`; `unix` for all that connect to a Unix socket.",
        ),
        key("header", Words(&["x-forwarded-for", "forwarded"]), "The one header that all of them write.")
            .or("x-forwarded-for"),
        key(
            "client_scheme",
            Words(&["http", "https"]),
            "What clients speak to the proxies, if that is known.",
        ),
    ],
);

const ASSERTION: Mapping = Mapping::ours(
    "assertion",
    &[
        required("issuer", Text, "`iss` of the assertions: a URL of opgate's own."),
        key(
            "keys",
            Several(&Path),
            "Files of private keys. The first signs, all are published. Without it, one is made at each start.",
        ),
        key("lifetime", Duration, "How long an assertion is good, from 10s to 10m.").or("60s"),
        key(
            "jwks_path",
            Text,
            "A path at which every listener serves the public keys. They are always at the admin address.",
        ),
    ],
);

const AUDIT: Mapping = Mapping::ours(
    "audit",
    &[
        key(
            "output",
            Text,
            "`off`, `stdout`, `stderr`, a file, `unix:PATH`, `syslog:PATH` or `syslog:tcp://HOST:PORT`.",
        )
        .or("stdout"),
        key("format", Words(&["full", "compact"]), "`compact` has the same facts in about half the bytes.")
            .or("full"),
        key(
            "when_full",
            Words(&["drop", "refuse"]),
            "If lines cannot be written fast enough: drop them, or refuse requests.",
        )
        .or("drop"),
        key("parent", Text, "The parent of the log, like `projects/PROJECT`.").or("projects/opgate"),
        key("log_id", Text, "The id of the log.").or("cloudaudit.googleapis.com"),
        key("instance", Text, "Which gate writes. By default, the name of the host."),
        key(
            "sample_allowed_reads",
            Pattern(r"^[0-9.]+%$", "a share, like `10%`"),
            "The share of allowed reads that is written.",
        )
        .or("100%"),
        key(
            "skip_allowed_reads",
            List(&Text),
            "Methods whose allowed reads are not written; `*` at the end for all that begin so.",
        )
        .or("[]"),
        key("audit_configs", Words(&["apply", "ignore"]), "Whether `auditConfigs` of allow policies count.")
            .or("apply"),
        key(
            "redact",
            List(&Words(&[
                "caller_ip",
                "user_agent",
                "principal",
                "host",
                "path",
                "resource",
                "detail",
                "client_certificate",
                "client_ids",
            ])),
            "What is left out of each line.",
        )
        .or("[]"),
    ],
);

const CANCELS: Mapping = Mapping::ours(
    "cancels",
    &[key("tracked", Whole(0, 1_000_000), "How many are watched at one time, in 419 bytes each.")
        .or("10000")],
);

const TELEMETRY: Mapping = Mapping::ours(
    "telemetry",
    &[
        key("log", Text, "A filter of the operator's log, like `info` or `opgate=debug,warn`.").or("info"),
        key("format", Words(&["text", "json"]), "The form of its lines.").or("text"),
        key("otlp", Shape::Mapping(&OTLP), "A collector that spans go to, over OTLP/HTTP."),
    ],
);

const OTLP: Mapping = Mapping::ours(
    "otlp",
    &[
        required("endpoint", Text, "The base URL of the collector; `/v1/traces` is added."),
        key("headers_file", Path, "A file of header fields, one `name=value` a line."),
        key("ca", Path, "PEM file of the only CAs that are trusted. By default, those of the system."),
        key("timeout", Duration, "For one message.").or("10s"),
        key("resource_attributes", Named("the name of an attribute", &Text), "Attributes of every span."),
        key("traces", Shape::Mapping(&TRACES), "Which requests are recorded."),
    ],
);

const TRACES: Mapping = Mapping::ours(
    "traces",
    &[
        key("allowed", Share, "The share of allowed requests.").or("0.01"),
        key("proxied", Whole(0, 100_000), "In a second, how many that a trusted proxy has recorded.")
            .or("100"),
        key("denied", Whole(0, 100_000), "In a second, how many that are denied.").or("10"),
        key("undecided", Whole(0, 100_000), "In a second, how many that fail.").or("10"),
    ],
);

const UPGRADE: Mapping = Mapping::ours(
    "upgrade",
    &[
        required("socket", Path, "The Unix socket on which the two processes meet."),
        key("timeout", Duration, "How long each waits for the other.").or("60s"),
    ],
);
