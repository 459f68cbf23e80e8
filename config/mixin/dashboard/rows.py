"""The rows of the dashboard: what each panel shows, and which question it answers."""

from grafana import GREEN, RED, YELLOW, bars, graph, quantiles, query, stat

FINE_AT_ZERO = [(0, GREEN), (1e-9, RED)]
ROOM = [(0, GREEN), (0.8, RED)]

NOW = [
    stat(
        "Machines that are ready", [1],
        "How many machines are ready, and how many answer Prometheus.",
        "none",
        [query("sum(opgate_ready{$s})", "ready"), query("count(opgate_ready{$s})", "of")],
        [(0, RED), (1, GREEN)],
        text_mode="value_and_name",
    ),
    stat(
        "Error budget left, 30 days", [20],
        "1 is all of it. Below 0, more than 0.05 % of the requests of 30 days ended without a decision.",
        "percentunit",
        query(
            "1 - avg_over_time(job:opgate_undecided:rate5m{$j}[30d])\n"
            "/ avg_over_time(job:opgate_decisions:rate5m{$j}[30d]) / 0.0005",
            "{{job}}",
        ),
        [(-100, RED), (0, YELLOW), (0.25, GREEN)],
    ),
    stat(
        "Undecided", [1, 20],
        "The share of requests that end without a decision: no keys, overload, or a fault of the gate.",
        "percentunit",
        query("job:opgate_undecided:ratio_rate5m{$j}", "{{job}}"),
        [(0, GREEN), (0.0005, YELLOW), (0.0072, RED)],
    ),
    stat(
        "Denied", [3],
        "The share of requests that are refused.",
        "percentunit",
        query(
            'sum by (job) (rate(opgate_decisions_total{decision="denied", $s}[$i]))\n'
            "/ sum by (job) (rate(opgate_decisions_total{$s}[$i]))",
            "{{job}}",
        ),
        [(0, GREEN), (0.1, YELLOW), (0.5, RED)],
    ),
    stat(
        "The gate's own time, p99", [11],
        "99 of 100 requests spend less than this in the gate. Backends, issuers and request bodies are not in it.",
        "s",
        query("job:opgate_overhead_seconds:p99_5m{$j}", "{{job}}"),
        [(0, GREEN), (0.001, YELLOW), (0.005, RED)],
    ),
    stat(
        "Audit lines lost, 1 hour", [14],
        "Requests without a line in the audit log.",
        "none",
        query("sum by (job) (increase(opgate_audit_dropped_total{$s}[1h]))", "{{job}}"),
        FINE_AT_ZERO,
    ),
]

DECISIONS = [
    graph(
        "Decisions", [1],
        "Allowed, denied, undecided (no keys, overload, own fault), and pending (the key of a token is looked for).",
        "reqps",
        query("sum by (decision) (rate(opgate_decisions_total{$s}[$i]))", "{{decision}}"),
        stack=True,
    ),
    graph(
        "Where requests end that are not allowed", [1, 3],
        "The stage at which a request ended.",
        "reqps",
        query(
            'sum by (decision, stage) (rate(opgate_decisions_total{decision!="allowed", $s}[$i]))',
            "{{decision}} at {{stage}}",
        ),
        stack=True,
    ),
    graph(
        "Reasons", [3, 2],
        "The ten most frequent reasons of refusals. No metric names a caller: the console and the audit log say who it was.",
        "reqps",
        query('topk(10, sum by (reason) (rate(opgate_requests_total{reason!="ALLOWED", $s}[$i])))', "{{reason}}"),
    ),
    graph(
        "Answers by status", [16],
        "A broken client makes many of one status. An attack makes many of several: 400, 401, 403, 404.",
        "reqps",
        query("sum by (code) (rate(opgate_requests_total{$s}[$i]))", "{{code}}"),
        stack=True,
    ),
    graph(
        "Busiest methods", [15, 16],
        "The ten methods that are called most.",
        "reqps",
        query("topk(10, sum by (service, method) (rate(opgate_requests_total{$s}[$i])))", "{{service}} {{method}}"),
    ),
    graph(
        "The policy in shadow", [4],
        "What the policy in force decides, and what the policy under `policy.shadow` would decide.",
        "reqps",
        query(
            "sum by (in_force, shadow) (rate(opgate_shadow_decisions_total{$s}[$i]))",
            "{{in_force}}, in shadow {{shadow}}",
        ),
    ),
]

TIME = [
    graph(
        "The gate's own time", [11],
        "From the head of a request to the first byte of its answer, without backend, issuer and request body.",
        "s",
        quantiles("opgate_overhead_duration_seconds", [], ""),
        [(0, GREEN), (0.001, YELLOW), (0.005, RED)],
    ),
    graph(
        "Requests with less than 1 ms of the gate's time", [11],
        "The objective is 99 %.",
        "percentunit",
        query(
            # Prometheus 3 writes 1.0 for le="1"; this bound is the same in all versions.
            'sum by (service) (rate(opgate_overhead_duration_seconds_bucket{le="0.001", $s}[$i]))\n'
            "/ sum by (service) (rate(opgate_overhead_duration_seconds_count{$s}[$i]))",
            "{{service}}",
        ),
        [(0, RED), (0.99, GREEN)],
        max=1,
    ),
    graph(
        "Backends: time to the head of the answer", [11],
        "From the choice of an endpoint to the head of its answer. A client that reads slowly does not count.",
        "s",
        quantiles("opgate_upstream_response_head_seconds", ["upstream"], "{{upstream}}"),
    ),
    graph(
        "Time to decide, by stage", [11],
        "p99 of the time that each stage of a decision takes, waiting left out.",
        "s",
        query(
            "histogram_quantile(0.99, sum by (stage, le) (rate(opgate_decision_duration_seconds_bucket{$s}[$i])))",
            "{{stage}}",
        ),
        width=6,
    ),
    graph(
        "Waiting for issuers", [9],
        "How long requests waited: for a key that was not there, or for an answer about an opaque token.",
        "s",
        quantiles("opgate_issuer_wait_seconds", ["issuer", "for"], "{{issuer}} {{for}}"),
        width=6,
    ),
    graph(
        "Waiting for request bodies", [11],
        "How long clients took to send the bodies that have to be judged.",
        "s",
        quantiles("opgate_body_wait_seconds", [], ""),
        width=6,
    ),
    graph(
        "Allowed requests, from head to end", [11],
        "All of it: gate, backend, and the client's reading.",
        "s",
        quantiles("opgate_request_duration_seconds", ["service"], "{{service}}"),
        width=6,
    ),
]

POLICY = [
    graph(
        "Machines by policy revision", [5],
        "One line is one policy. Several are right for a moment while a change is rolled out.",
        "none",
        query("count by (job, revision) (opgate_policy_info{$s})", "{{job}} {{revision}}"),
    ),
    graph(
        "Parts as their files say", [6],
        "1: the part is what its files say. 0: its files have a mistake, and it keeps its last good state.",
        "none",
        query("min by (part) (opgate_reload_last_successful{$s})", "{{part}}"),
        [(0, RED), (1, GREEN)],
        max=1,
    ),
    graph(
        "Reloads", [6],
        "Attempts to load a part.",
        "none",
        query("sum by (part, outcome) (increase(opgate_reloads_total{$s}[$i])) > 0", "{{part}} {{outcome}}"),
    ),
    graph(
        "From a change of a file to decisions by it", [7],
        "p99 of an hour, by part. For the policy, this is how long a revocation takes.",
        "s",
        query(
            "histogram_quantile(0.99, sum by (part, le) (rate(opgate_reload_lag_seconds_bucket{$s}[1h])))",
            "{{part}}",
        ),
        [(0, GREEN), (1, YELLOW), (5, RED)],
    ),
    graph(
        "Policy changes in force within 1 s, 30 days", [7],
        "The objective is 99 %.",
        "percentunit",
        query(
            # Prometheus 3 writes 1.0 for le="1".
            'sum by (job) (increase(opgate_reload_lag_seconds_bucket{part="policy", le=~"1|1.0", $s}[30d]))\n'
            '/ sum by (job) (increase(opgate_reload_lag_seconds_count{part="policy", $s}[30d]))',
            "{{job}}",
        ),
        [(0, RED), (0.99, GREEN)],
        max=1,
    ),
    graph(
        "Requests that IAM denies", [4],
        "If the share rises at a mark of a new policy, the policy denies what it allowed before.",
        "percentunit",
        query("job:opgate_iam_denied:ratio_rate5m{$j}", "{{job}}"),
        [(0, GREEN), (0.1, YELLOW)],
        max=1,
    ),
]

IDENTITY = [
    bars(
        "Time left of the keys", [8],
        "Until the held keys end if no fetch succeeds. Keys of a file have no end and are not shown.",
        "s",
        query(
            "min by (issuer) (opgate_jwks_expiry_timestamp_seconds{$s} < +Inf) - time()",
            "{{issuer}}",
        ),
        [(-1e12, RED), (3600, YELLOW), (6 * 3600, GREEN)],
    ),
    graph(
        "Fetches of keys", [8, 9],
        "By outcome: success, or why a fetch failed.",
        "none",
        query("sum by (issuer, outcome) (increase(opgate_jwks_refreshes_total{$s}[$i])) > 0", "{{issuer}} {{outcome}}"),
    ),
    graph(
        "Keys", [8],
        "Usable keys. An issuer with 0 keys has all its tokens refused.",
        "none",
        query("min by (issuer) (opgate_jwks_keys{$s})", "{{issuer}}"),
    ),
    graph(
        "Tokens that fail", [10, 16],
        "By issuer, kind of token, and what is wrong with them.",
        "reqps",
        query(
            'sum by (issuer, kind, outcome) (rate(opgate_tokens_total{outcome!="accepted", $s}[$i])) > 0',
            "{{issuer}} {{kind}} {{outcome}}",
        ),
    ),
    graph(
        "Questions about opaque tokens", [9, 10],
        "What issuers answered about opaque tokens.",
        "reqps",
        query("sum by (issuer, outcome) (rate(opgate_token_lookups_total{$s}[$i]))", "{{issuer}} {{outcome}}"),
    ),
    graph(
        "Cache of verified tokens", [15],
        "How full it is, and how many tokens are found in it. It may be full: old tokens make room.",
        "percentunit",
        [
            query("sum(opgate_token_cache_entries{$s}) / sum(opgate_token_cache_capacity{$s})", "full"),
            query(
                "sum(rate(opgate_token_cache_hits_total{$s}[$i]))\n"
                "/ (sum(rate(opgate_token_cache_hits_total{$s}[$i])) + sum(rate(opgate_token_cache_misses_total{$s}[$i])))",
                "found",
            ),
        ],
        max=1,
    ),
]

BACKENDS = [
    graph(
        "Failed attempts", [12],
        "By upstream and kind. `connect`: nothing listens; `timeout`: slow; `stale`: an idle connection was closed, harmless.",
        "reqps",
        query("sum by (upstream, kind) (rate(opgate_upstream_errors_total{$s}[$i])) > 0", "{{upstream}} {{kind}}"),
    ),
    graph(
        "Failed attempts by endpoint", [12],
        "The ten endpoints that fail most.",
        "reqps",
        query(
            "topk(10, sum by (upstream, endpoint) (rate(opgate_upstream_endpoint_errors_total{$s}[$i]))) > 0",
            "{{upstream}} {{endpoint}}",
        ),
    ),
    graph(
        "Endpoints left out", [12],
        "Endpoints that are not used now, and ejections: an endpoint failed several times in a row.",
        "none",
        [
            query("sum by (upstream) (1 - opgate_upstream_healthy{$s})", "{{upstream}} left out"),
            query(
                "sum by (upstream, endpoint) (increase(opgate_upstream_ejections_total{$s}[$i])) > 0",
                "{{upstream}} {{endpoint}} ejected",
            ),
        ],
    ),
    graph(
        "Requests sent again", [13],
        "The share of attempts that are a second one.",
        "percentunit",
        query(
            "sum by (upstream) (rate(opgate_upstream_retries_total{$s}[$i]))\n"
            "/ sum by (upstream) (rate(opgate_upstream_attempts_total{$s}[$i]))",
            "{{upstream}}",
        ),
        max=1,
    ),
    graph(
        "Places taken", [15],
        "Requests at an upstream, as a share of its limit.",
        "percentunit",
        query("max by (upstream) (opgate_upstream_in_flight{$s} / opgate_upstream_limit{$s})", "{{upstream}}"),
        ROOM,
        max=1,
    ),
    graph(
        "Requests that found no place", [15],
        "They got 503: the upstream was full, and no place became free in time.",
        "reqps",
        query("sum by (upstream) (rate(opgate_upstream_overflow_total{$s}[$i]))", "{{upstream}}"),
    ),
]

CANCELS = [
    graph(
        "Cancels", [17],
        "What backends answered to a cancel.",
        "reqps",
        query("sum by (service, answer) (rate(opgate_cancels_total{$s}[$i])) > 0", "{{service}} {{answer}}"),
        stack=True,
    ),
    graph(
        "What became of them", [17],
        "The ends that were seen. `unobserved`: no client asked about the operation again.",
        "none",
        query(
            "sum by (service, outcome) (increase(opgate_cancel_outcomes_total{$s}[$i])) > 0",
            "{{service}} {{outcome}}",
        ),
        stack=True,
    ),
    graph(
        "Cancels that worked", [17],
        "Of the ends that were seen in an hour: cancelled / (cancelled + succeeded + failed).",
        "percentunit",
        query("service:opgate_cancels_effective:ratio_rate1h{$j}", "{{service}}"),
        [(0, RED), (0.8, GREEN)],
        max=1,
    ),
    graph(
        "From the cancel to the end", [18],
        "An upper bound: the end is seen when a client asks.",
        "s",
        quantiles("opgate_cancel_settle_seconds", ["service"], "{{service}}"),
    ),
    graph(
        "Cancels whose end is awaited", [17],
        "Operations whose end has not been seen yet.",
        "none",
        query("sum by (service) (opgate_cancels_pending{$s})", "{{service}}"),
    ),
    graph(
        "Answers that were not looked into", [17],
        "Answers about operations in which the gate could not look for an end, and why.",
        "reqps",
        query("sum by (why) (rate(opgate_cancel_watch_skipped_total{$s}[$i]))", "{{why}}"),
    ),
]

EDGE = [
    graph(
        "Requests in flight and connections", [15],
        "As a share of their limits.",
        "percentunit",
        [
            query("opgate_requests_in_flight{$s} / opgate_requests_limit{$s}", "{{instance}} requests"),
            query(
                "sum by (instance) (opgate_connections{$s}) / sum by (instance) (opgate_connections_limit{$s})",
                "{{instance}} connections",
            ),
            query("process_open_fds{$s} / process_max_fds{$s}", "{{instance}} open files"),
        ],
        ROOM,
        max=1,
    ),
    graph(
        "New connections", [16],
        "Accepted, refused (beyond a limit) and cut (too slow, or a flood).",
        "cps",
        [
            query("sum by (listener) (rate(opgate_connections_accepted_total{$s}[$i]))", "{{listener}} accepted"),
            query("sum by (reason) (rate(opgate_connections_refused_total{$s}[$i])) > 0", "refused: {{reason}}"),
            query("sum by (reason) (rate(opgate_connections_cut_total{$s}[$i])) > 0", "cut: {{reason}}"),
        ],
    ),
    graph(
        "TLS handshakes", [16],
        "By listener and outcome. Many that fail: a scanner, a client with an old library, or a wrong certificate.",
        "cps",
        query("sum by (listener, outcome) (rate(opgate_tls_handshakes_total{$s}[$i]))", "{{listener}} {{outcome}}"),
    ),
    graph(
        "Open connections", [15],
        "By listener.",
        "none",
        query("sum by (listener) (opgate_connections{$s})", "{{listener}}"),
    ),
    graph(
        "Memory", [15],
        "What the process holds.",
        "bytes",
        query("process_resident_memory_bytes{$s}", "{{instance}}"),
    ),
    graph(
        "CPU", [15, 11],
        "Cores that are busy with the process.",
        "none",
        query("rate(process_cpu_seconds_total{$s}[$i])", "{{instance}}"),
    ),
]

AUDIT = [
    graph(
        "Audit lines", [14],
        "Lines that were written, and lines that were lost, with the reason.",
        "wps",
        [
            query("sum(rate(opgate_audit_lines_total{$s}[$i]))", "written"),
            query("sum by (reason) (rate(opgate_audit_dropped_total{$s}[$i]))", "lost: {{reason}}"),
        ],
    ),
    graph(
        "Queue of the audit log", [14],
        "How full it is. Once it is full, lines are lost.",
        "percentunit",
        query("opgate_audit_queue_lines{$s} / opgate_audit_queue_capacity_lines{$s}", "{{instance}}"),
        [(0, GREEN), (0.5, RED)],
        max=1,
    ),
    bars(
        "Time left of certificates", [19],
        "Until the first of several machines has to have another one.",
        "s",
        query(
            "min by (use, name) (opgate_certificate_expiry_timestamp_seconds{$s}) - time()",
            "{{name}} ({{use}})",
        ),
        [(-1e12, RED), (86400, YELLOW), (7 * 86400, GREEN)],
    ),
]

ROWS = [
    ("Now", NOW),
    ("Decisions", DECISIONS),
    ("Time", TIME),
    ("Policy", POLICY),
    ("Identity", IDENTITY),
    ("Backends", BACKENDS),
    ("Cancels", CANCELS),
    ("Edge", EDGE),
    ("Audit and certificates", AUDIT),
]
