//! The table of modules: what each may name.

/// Which modules a module may name. A module that is not listed is at an edge of the process (EDGES) and may name any.
pub const MAY_NAME: &[(&str, &[&str])] = &[
    // What the stages are built from: they know no stage.
    ("diagnostic", &[]),
    // Reads what an operator names.
    ("files", &[]),
    // Counts what each of many has taken.
    ("shares", &[]),
    ("document", &["diagnostic", "files"]),
    // How the gate itself asks others over HTTP.
    ("http_client", &["files"]),
    // What files may hold, as tables. How keys are spelled is the document's.
    ("schema", &["document"]),
    // Writes policy files anew.
    ("tidy", &["diagnostic", "document", "schema"]),
    // Reads trees of files. The clock tells which file was changed just now.
    ("source", &["clock", "diagnostic", "document", "files"]),
    // Tests of many bytes at once.
    ("bytewise", &[]),
    ("json", &["bytewise"]),
    ("percent", &[]),
    ("principal", &[]),
    ("clock", &[]),
    // The fields of W3C Trace Context, and random ids.
    ("trace_context", &[]),
    // What systemd is told of the process.
    ("service_manager", &[]),
    ("signing", &[]),
    // The registry of instruments, and makers of them. Each module has its own instruments.
    ("metrics", &[]),
    // How commands print and exit.
    ("terminal", &["diagnostic"]),
    // The expression language of conditions knows no policy.
    ("cel", &[]),
    // A denial names the rule that decided, as a place.
    ("reason", &["diagnostic"]),
    // The stages, each built on those before it, and each with its own settings.
    ("http", &["bytewise", "diagnostic", "document", "percent", "principal", "reason", "trace_context"]),
    // Messages of gRPC and what they name, below the methods that they call.
    ("grpc", &["http", "reason"]),
    // Certificates say names, and who a client is.
    ("tls", &["clock", "diagnostic", "document", "files", "http", "principal"]),
    // HTTP/JSON to messages of gRPC and back: it knows descriptors, and nothing of requests.
    ("transcode", &["percent", "reason"]),
    ("catalog", &["diagnostic", "document", "grpc", "http", "reason", "source", "transcode"]),
    (
        "authn",
        &[
            "bytewise",
            "cel",
            "diagnostic",
            "document",
            "files",
            "http_client",
            "json",
            "metrics",
            "percent",
            "principal",
            "reason",
            "shares",
        ],
    ),
    ("policy", &["authn", "catalog", "cel", "diagnostic", "document", "principal", "reason", "source"]),
    // How many requests there may be at one time.
    ("admission", &["diagnostic", "document", "http", "reason", "shares"]),
    (
        "decision",
        &[
            "admission",
            "authn",
            "catalog",
            "diagnostic",
            "document",
            "grpc",
            "http",
            "json",
            "policy",
            "principal",
            "reason",
            "source",
            "transcode",
        ],
    ),
    // Asks the gate what it would say, and reads the audit log; requests never come by there.
    (
        "simulation",
        &[
            "audit",
            "authn",
            "catalog",
            "decision",
            "diagnostic",
            "document",
            "http",
            "policy",
            "principal",
            "reason",
        ],
    ),
    // Reads descriptions of APIs, and writes text: whether the gate reads that is asked by the command.
    ("import", &["diagnostic", "document", "http"]),
    ("explain", &["catalog", "decision", "diagnostic", "document", "http", "policy", "reason", "simulation"]),
    // What a backend is told of a caller, signed: it knows callers and keys, and nothing of requests but the path of
    // its public keys. Its settings hold the span of that path.
    ("assertion", &["diagnostic", "document", "files", "http", "principal", "signing"]),
    (
        "upstream",
        &[
            "diagnostic",
            "document",
            "grpc",
            "http",
            "metrics",
            "policy",
            "reason",
            "tls",
            "trace_context",
            "transcode",
        ],
    ),
    ("respond", &["grpc", "json", "reason"]),
    ("audit", &["clock", "diagnostic", "document", "json", "metrics", "reason"]),
    // Sends to a collector what is told of a request.
    ("otlp", &["diagnostic", "document", "files", "http_client", "metrics", "trace_context"]),
    // What becomes of cancels: it knows operations, and nothing of requests.
    ("cancels", &["diagnostic", "document", "metrics", "principal"]),
    // The last lines of the audit log, in memory: it knows no request.
    ("recent", &[]),
    // What every front end calls.
    (
        "engine",
        &[
            "admission",
            "assertion",
            "audit",
            "authn",
            "cancels",
            "catalog",
            "clock",
            "decision",
            "grpc",
            "http",
            "metrics",
            "otlp",
            "policy",
            "principal",
            "reason",
            "trace_context",
            "upstream",
        ],
    ),
    // The operator's log.
    ("telemetry", &["diagnostic", "document", "otlp", "terminal"]),
    // From a socket to connections.
    ("listener", &["clock", "diagnostic", "document", "http", "metrics", "tls"]),
    // What forwards.
    (
        "proxy",
        &[
            "cancels",
            "catalog",
            "decision",
            "engine",
            "grpc",
            "http",
            "policy",
            "reason",
            "respond",
            "transcode",
            "upstream",
        ],
    ),
    // What speaks with clients, in each protocol.
    (
        "frontend",
        &[
            "admission",
            "assertion",
            "authzen",
            "clock",
            "engine",
            "grpc",
            "http",
            "listener",
            "proxy",
            "reason",
            "respond",
            "tls",
        ],
    ),
    // What services ask about callers that they name.
    ("authzen", &["catalog", "decision", "json", "reason", "simulation"]),
    // What one process passes on to the next.
    ("handover", &["diagnostic", "document", "listener"]),
    (
        "admin",
        &[
            "assertion",
            "authn",
            "cancels",
            "catalog",
            "clock",
            "diagnostic",
            "document",
            "engine",
            "explain",
            "http",
            "listener",
            "metrics",
            "policy",
            "recent",
            "simulation",
            "telemetry",
            "tls",
            "upstream",
        ],
    ),
    // The edge that assembles the settings of the stages.
    (
        "config",
        &[
            "admin",
            "admission",
            "assertion",
            "audit",
            "authn",
            "cancels",
            "catalog",
            "decision",
            "diagnostic",
            "document",
            "handover",
            "http",
            "listener",
            "telemetry",
            "upstream",
            "policy",
            "principal",
            "source",
        ],
    ),
    // New files in the same process.
    (
        "reload",
        &[
            "assertion",
            "authn",
            "catalog",
            "clock",
            "config",
            "decision",
            "diagnostic",
            "engine",
            "files",
            "listener",
            "metrics",
            "policy",
            "service_manager",
            "source",
            "telemetry",
            "tls",
            "upstream",
        ],
    ),
    // What serves development: it speaks to the product over sockets and through files. Of the configuration it uses
    // durations alone.
    ("dev", &["clock", "diagnostic", "document", "reason", "signing", "terminal"]),
];
