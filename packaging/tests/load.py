"""A load of HTTP/1.1 calls that knows the right answer of each, a backend that notes what it was sent, and the books.

Each try of a call has a number of its own, which is the name of the operation. The books have for each try what the client
was told, how often the backend saw it, and what the audit log says of it. They must agree: an allowed call is answered,
forwarded once and logged once; a refused one is answered with its own status, never forwarded, and logged once.

What is lost must be the gate's fault, so a client asks again only where HTTP allows it, by a new try with a new number:

- a connection could not be made: nothing was sent;
- a reused connection ended before a byte of the answer came (RFC 9112, section 9.5): the try then must not have reached the
  backend, whatever its method;
- a GET was answered by 502, 503 or 504 where the test says that the backend is away (RFC 9110, section 9.2.2).

Everything else that is not the right answer is wrong (another decision) or lost (no answer, or 5xx).
"""

import asyncio
import collections
import json
import random

HOST = "api.example.com"


class Books:
    def __init__(self):
        self.tries = []
        self.counts = collections.Counter()
        self.faults = []

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
        """An audit line."""
        payload = line["protoPayload"]
        number = number_of(payload.get("requestMetadata", {}).get("requestAttributes", {}).get("path", ""))
        if number is not None:
            self.tries[number]["logged"].append((payload["metadata"]["decision"], line["httpRequest"]["status"]))

    def disagreements(self, logged=True):
        """What of the three columns does not fit."""
        wrong = list(self.faults)
        for number, entry in enumerate(self.tries):
            kind, outcome = entry["kind"], entry["outcome"]
            if outcome is None:
                wrong.append(f"try {number} ({kind.name}) has no outcome")
                continue
            expected_seen = {"allowed": {1}, "refused": {0}, "unsent": {0}, "ended": {0}, "away": {0, 1}}[outcome]
            if entry["seen"] not in expected_seen:
                wrong.append(f"try {number} ({kind.name}): {outcome}, and the backend saw it {entry['seen']} times")
            if logged and outcome in ("allowed", "refused", "away"):
                decision = "ALLOWED" if kind.allowed else "DENIED"
                if [found for found, _ in entry["logged"]] != [decision]:
                    wrong.append(f"try {number} ({kind.name}): {outcome}, and the audit log says {entry['logged']}")
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
        self.books, self.server, self.writers = books, None, set()

    async def start(self, host, port):
        self.server = await asyncio.start_server(self.serve, host, port, backlog=1024)
        return self.server.sockets[0].getsockname()[1]

    async def stop(self):
        """As a backend that is shut down in order: it closes what is idle and answers what it has."""
        self.server.close()
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
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


class Load:
    """Clients that send calls until they are told to stop."""

    def __init__(self, books, address, kinds):
        self.books, self.address, self.kinds = books, address, kinds
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
                    stream = await asyncio.wait_for(asyncio.open_connection(*self.address), 20)
            except OSError:
                self.books.end(number, "unsent")
                await asyncio.sleep(0.05)
                continue
            try:
                status, keeps, body = await asyncio.wait_for(self.exchange(stream, kind, number), 40)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
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
            if self.backend_is_away and kind.allowed and status in (502, 503, 504):
                self.books.end(number, "away")
                if kind.method == "GET":
                    await asyncio.sleep(0.05)
                    continue
                return stream
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


def read_log(books, lines):
    """Enters audit lines into the books. A line that is not whole fails."""
    for line in lines:
        books.log(json.loads(line))
