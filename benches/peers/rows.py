"""The jobs that are compared: one row of the table each."""

from dataclasses import dataclass

from setting import HOST, STORE_HOST

CANCEL = "POST /v1/projects/demo/locations/l/operations/o:cancel"
UPLOAD = "POST /v1/projects/demo/objects/o:upload"
DOWNLOAD = "GET /v1/projects/demo/objects/o"
MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """What is sent, and what the right answer is."""

    name: str
    title: str
    call: str = CANCEL
    host: str = HOST
    tokens: str = "known.tokens"
    status: int = 200
    # Of the answer's body; None where each proxy has its own.
    length: object = None
    body: int = 0
    once: bool = False
    http2: bool = False
    tls: bool = False
    connections: int = 32
    streams: int = 1

    @property
    def judged(self):
        """Only proxies that check something can do it."""
        return self.status != 200 or self.once

    @property
    def transfers(self):
        """Bytes are counted, rather than requests."""
        return self.host == STORE_HOST

    @property
    def share(self):
        """Of the seconds of a round: what is much the same in several rows is measured for a shorter time in each."""
        if self.transfers:
            return 0.25
        return 0.5 if self.http2 or self.tls else 1

    def load(self, proxy, setting):
        """The arguments of the load."""
        port = proxy.tls if self.tls else proxy.plain
        command = ["--to", f"127.0.0.1:{port}", "--host", self.host, "--call", self.call, "--status", self.status]
        command += ["--body", self.body, "--connections", self.connections, "--streams", self.streams]
        if self.tokens:
            command += ["--tokens", setting.path(self.tokens)]
        if self.length is not None:
            command += ["--length", self.length]
        if self.tls:
            command += ["--ca", setting.path("ca.pem")]
        flags = {"--http2": self.http2, "--once": self.once}
        return [str(part) for part in command] + [flag for flag, on in flags.items() if on]


ALLOWED = {"length": 2}
# 32 requests at one time, as over HTTP/1.1.
H2 = {"http2": True, "connections": 4, "streams": 8}
UP = {"call": UPLOAD, "host": STORE_HOST, "body": MIB, "length": 2, "connections": 4}
DOWN = {"call": DOWNLOAD, "host": STORE_HOST, "length": MIB, "connections": 4}
WAYS = [
    ("", "HTTP/1.1", {}),
    ("-h2", "HTTP/2", {"http2": True}),
    ("-tls", "HTTP/1.1, TLS", {"tls": True}),
    ("-tls-h2", "HTTP/2, TLS", {"tls": True, "http2": True}),
]

ROWS = [
    Row("allowed", "allowed, token known", **ALLOWED),
    Row("once", "allowed, each token once", tokens="once.tokens", once=True, **ALLOWED),
    Row("no-token", "no token: 401", tokens="", status=401),
    Row("bad-signature", "bad signature: 401", tokens="forged.tokens", status=401),
    Row("no-permission", "no permission: 403", tokens="strangers.tokens", status=403),
    Row("allowed-h2", "allowed, HTTP/2", **ALLOWED, **H2),
    Row("allowed-tls", "allowed, HTTP/1.1, TLS", tls=True, **ALLOWED),
    Row("allowed-tls-h2", "allowed, HTTP/2, TLS", tls=True, **ALLOWED, **H2),
    *[Row(f"download{name}", f"1 MiB download, {way}", **DOWN, **more) for name, way, more in WAYS],
    *[Row(f"upload{name}", f"1 MiB upload, {way}", **UP, **more) for name, way, more in WAYS],
]
# Rows of other kinds, by name: times at half of the peak rate, and connections that wait.
OTHERS = ["latency", "idle"]
