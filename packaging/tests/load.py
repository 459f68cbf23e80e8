"""A load of HTTP/1.1 calls that knows the right answer of each, a backend that notes what it was sent, and the books.

Each try of a call has a number of its own, which is the name of the operation. The books have for each try what the client
was told, how often the backend saw it, and what the audit log says of it. They must agree: an allowed call is answered,
forwarded once and logged once; a refused one is answered with its own status, never forwarded, and logged once.

What is lost must be the gate's fault, so a client asks again only where HTTP allows it, by a new try with a new number:

- a connection could not be made: nothing was sent;
- a reused connection ended before a byte of the answer came (RFC 9112, section 9.5): the try then must not have reached the
  backend, whatever its method;
- the test has taken all backends away, and the answer is 503: the gate says that it sent nothing, which the backend confirms.

Everything else that is not the right answer is wrong (another decision) or lost (no answer, or 5xx).
"""

import asyncio
import collections
import json
import random
import ssl

HOST = "api.example.com"


class Books:
    def __init__(self):
        self.tries = []
        self.counts = collections.Counter()
        self.faults = []
        self.lost = 0
        self.callers = set()

    def begin(self, kind):
        self.tries.append({"kind": kind, "outcome": None, "seen": 0, "logged": []})
        return len(self.tries) - 1

    def end(self, number, outcome):
        entry = self.tries[number]
        assert entry["outcome"] is None, f"two outcomes of try {number}"
        entry["outcome"] = outcome
        self.counts[outcome] += 1

    def fault(self, text):
        self.faults.append(text)

    def see(self, path):
        number = number_of(path)
        if number is not None:
            self.tries[number]["seen"] += 1

    def log(self, line):
        """An audit line: of a request, or of lines that are missing before it."""
        payload = line["protoPayload"]
        self.lost += payload["metadata"].get("lost", 0)
        metadata = payload.get("requestMetadata", {})
        number = number_of(metadata.get("requestAttributes", {}).get("path", ""))
        if number is not None:
            self.callers.add(metadata["callerIp"])
            self.tries[number]["logged"].append((payload["metadata"]["decision"], line["httpRequest"]["status"]))

    def disagreements(self, logged=True):
        """What of the three columns does not fit. An audit line may be missing where the log says itself how many are."""
        wrong, missing = list(self.faults), 0
        for number, entry in enumerate(self.tries):
            kind, outcome = entry["kind"], entry["outcome"]
            if outcome is None:
                wrong.append(f"try {number} ({kind.name}) has no outcome")
                continue
            if entry["seen"] != (1 if outcome == "allowed" else 0):
                wrong.append(f"try {number} ({kind.name}): {outcome}, and the backend saw it {entry['seen']} times")
            if logged and outcome in ("allowed", "refused", "away"):
                decision = "ALLOWED" if kind.allowed else "DENIED"
                missing += not entry["logged"]
                if entry["logged"] and [found for found, _ in entry["logged"]] != [decision]:
                    wrong.append(f"try {number} ({kind.name}): {outcome}, and the audit log says {entry['logged']}")
        if logged and missing != self.lost:
            wrong.append(f"{missing} audit lines are missing, and the log says that {self.lost} are")
        return wrong


def number_of(path):
    _, found, rest = path.partition("/operations/t")
    return int(rest.split(":")[0]) if found else None


class Kind:
    """A call of the load: what is sent, and the right answer."""

    def __init__(self, name, method, token, status, allowed):
        self.name, self.method, self.token, self.status, self.allowed = name, method, token, status, allowed

    def request(self, number):
        verb = ":cancel" if self.method == "POST" else ""
        head = f"{self.method} /v1/projects/demo/operations/t{number}{verb} HTTP/1.1\r\nHost: {HOST}\r\n"
        if self.token() is not None:
            head += f"Authorization: Bearer {self.token()}\r\n"
        if self.method == "POST":
            head += "Content-Type: application/json\r\nContent-Length: 2\r\n"
        return (head + "\r\n" + ("{}" if self.method == "POST" else "")).encode()


class Backend:
    """Answers `{}` to every request, and notes it in the books."""

    def __init__(self, books):
        self.books, self.server, self.writers, self.is_ending = books, None, set(), False

    async def start(self, host, port):
        self.is_ending = False
        self.server = await asyncio.start_server(self.serve, host, port, backlog=1024)

    async def stop(self):
        """Shuts down in order, as a server should: it accepts no more, says so on the connections that it has, and closes those
        that stay idle."""
        self.server.close()
        self.is_ending = True
        for _ in range(50):
            if not self.writers:
                return
            await asyncio.sleep(0.1)
        for writer in list(self.writers):
            writer.close()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(fields.get("content-length", "0")))
                self.books.see(head.split(" ")[1])
                last = b"Connection: close\r\n" if self.is_ending else b""
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n" + last + b"\r\n{}")
                await writer.drain()
                if last:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass      # the other side has ended the connection, or the test has
        finally:
            self.writers.discard(writer)
            writer.close()


class Load:
    """Clients that send calls until they are told to stop."""

    def __init__(self, books, address, kinds, tls=None, source="127.0.0.1"):
        self.books, self.address, self.kinds = books, address, kinds
        self.how = {"local_addr": (source, 0)}
        if tls:
            self.how.update(ssl=tls, server_hostname=HOST)
        self.stopping = False
        self.backend_is_away = False
        self.tasks = []

    def start(self, clients):
        # Every second client makes a new connection for each request, every fourth one idles.
        self.tasks = [asyncio.create_task(self.client(number)) for number in range(clients)]

    async def stop(self):
        self.stopping = True
        await asyncio.gather(*self.tasks)

    async def until_answered(self, more):
        """Waits until this many more calls have been answered."""
        wanted = self.answered() + more
        while self.answered() < wanted and not any(task.done() for task in self.tasks):
            await asyncio.sleep(0.01)
        for task in self.tasks:
            if task.done():
                task.result()

    def answered(self):
        return self.books.counts["allowed"] + self.books.counts["refused"]

    async def client(self, number):
        chance = random.Random(number)
        stream = None
        while not self.stopping:
            kind = chance.choice(self.kinds)
            stream = await self.call(kind, stream, keep=number % 2 == 0)
            if number % 4 == 2:
                await asyncio.sleep(chance.random() / 50)
            else:
                await asyncio.sleep(0.002)
        if stream:
            stream[1].close()

    async def call(self, kind, stream, keep):
        """One call, in as many tries as HTTP allows. Gives the connection if it can be used again."""
        for _ in range(200):
            number = self.books.begin(kind)
            reused = stream is not None
            try:
                if stream is None:
                    stream = await asyncio.wait_for(asyncio.open_connection(*self.address, **self.how), 20)
            except OSError:
                self.books.end(number, "unsent")
                await asyncio.sleep(0.05)
                continue
            try:
                status, keeps, body = await asyncio.wait_for(self.exchange(stream, kind, number), 40)
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
                nothing_came = not getattr(error, "partial", b"")
                stream[1].close()
                stream = None
                if reused and nothing_came:
                    self.books.end(number, "ended")
                    continue
                self.books.end(number, "ended")
                self.books.fault(f"lost: try {number} ({kind.name}) on a {'reused' if reused else 'new'} connection: {error!r}")
                return None
            except asyncio.TimeoutError:
                stream[1].close()
                self.books.end(number, "ended")
                self.books.fault(f"lost: try {number} ({kind.name}): no answer in 40 s")
                return None
            if not (keeps and keep):
                stream[1].close()
                stream = None
            if self.backend_is_away and kind.allowed and status == 503:
                self.books.end(number, "away")
                await asyncio.sleep(0.1)
                continue
            self.books.end(number, "allowed" if status == 200 else "refused")
            if status != kind.status:
                what = "lost" if status >= 500 else "wrong decision"
                self.books.fault(f"{what}: try {number} ({kind.name}) was answered {status}, not {kind.status}: {body[:300]}")
            return stream
        self.books.fault(f"lost: {kind.name} had no answer in 200 tries")
        return None

    async def exchange(self, stream, kind, number):
        reader, writer = stream
        writer.write(kind.request(number))
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields["content-length"]))
        return int(head.split(" ")[1]), fields.get("connection") != "close", body


def kinds(tokens):
    """The calls of the load. `tokens` gives the token that is good now, by the name of its caller."""
    return [
        Kind("ana cancels", "POST", lambda: tokens["ana"], 200, True),
        Kind("ana looks", "GET", lambda: tokens["ana"], 200, True),
        Kind("bob looks", "GET", lambda: tokens["bob"], 200, True),
        Kind("bob cancels", "POST", lambda: tokens["bob"], 403, False),
        Kind("a caller without a token cancels", "POST", lambda: None, 401, False),
        Kind("a caller with a forged token cancels", "POST", lambda: tokens["forged"], 401, False),
    ]


def read_log(books, lines, torn=False):
    """Enters audit lines into the books. Half a line may be there only where a disk was full."""
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            if not torn:
                raise
            continue
        books.log(entry)
