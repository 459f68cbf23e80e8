#!/usr/bin/env python3
"""A day in the life of two gates behind HAProxy, under load: every event that an operator knows.

    packaging/tests/day.py PROGRAM      (make day; OPGATE_DAY_REQUESTS is how many calls are answered at the least)

Rolling restart, log rotation, key rotation, certificate renewal, a DNS change, a bad policy pushed and fixed, an upstream gone
and back, a disk full and freed. No decision may be wrong and no request may be lost (load.py says what that means), and each
event must be seen in a metric and in the log.
"""

import asyncio
import datetime
import json
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

from load import HOST, Backend, Books, Load, kinds, read_log
from machine import ROOT, needs, run
from probe import ask
from tokens import AUDIENCE, ISSUER, Issuer

NAME, DNS_PORT, BACKEND_PORT = "api.backends.test", 5353, 9000
PLAIN, TLS = ("127.0.0.1", 8000), ("127.0.0.1", 8443)
CLIENTS = 12
# Where the clients of the load come from: HAProxy tells the gates so, which see connections from 127.0.0.1.
CLIENT = "127.0.0.9"
# Whether this version of the gate knows the PROXY protocol.
KNOWS_PROXY_PROTOCOL = "proxy_protocol:" in (ROOT / "config/opgate.yaml").read_text()


class Names(asyncio.DatagramProtocol):
    """A DNS server for one name, whose records live for a second."""

    def __init__(self, addresses):
        self.addresses = addresses

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, sender):
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        name = b"".join(bytes([len(part)]) + part.encode() for part in NAME.split(".")) + b"\0"
        kind = struct.unpack(">H", question[-4:-2])[0]
        known = question[:-4].lower() == name
        records = [socket.inet_aton(address) for address in self.addresses] if known and kind == 1 else []
        head = query[:2] + struct.pack(">HHHHH", 0x8580 if known else 0x8583, 1, len(records), 0, 0)
        answers = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + record for record in records)
        self.transport.sendto(head + question + answers, sender)


class Certificates:
    """A CA, and the gates' certificate, which it renews."""

    def __init__(self, directory):
        self.directory, self.made = directory, 0
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=ca",
            "-addext", "keyUsage=critical,keyCertSign", "-keyout", self.path("ca-key.pem"), "-out", self.path("ca.pem"))
        self.renew()

    def path(self, name):
        return self.directory / name

    def renew(self):
        self.made += 1
        key, request, certificate = (self.path(f"next-{part}") for part in ("key.pem", "request.pem", "server.pem"))
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={HOST}",
            "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", key, "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.path("ca.pem"), "-CAkey", self.path("ca-key.pem"), "-CAcreateserial",
            "-copy_extensions", "copy", "-days", str(5 * self.made), "-out", certificate)
        # As certbot does it: each file is replaced whole.
        os.rename(key, self.path("server-key.pem"))
        os.rename(certificate, self.path("server.pem"))

    def context(self):
        return ssl.create_default_context(cafile=self.path("ca.pem"))


class Gate:
    def __init__(self, program, directory, name, number):
        self.program, self.name = program, name
        self.listener, self.tls, self.admin = 8080 + number, 8450 + number, 9900 + number
        self.log_path, self.config = directory / f"{name}.log", directory / f"{name}.yaml"
        behind = {"proxy_protocol": {"addresses": ["127.0.0.1/32"]}} if KNOWS_PROXY_PROTOCOL else {}
        self.config.write_text(json.dumps({
            "listeners": [
                {"address": f"127.0.0.1:{self.listener}", **behind},
                {"address": f"127.0.0.1:{self.tls}", **behind,
                 "tls": {"certificates": [{"cert": "tls/server.pem", "key": "tls/server-key.pem"}]}}],
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "upstreams": {"api": {
                "endpoints": [f"{NAME}:{BACKEND_PORT}"],
                "outliers": {"ejection": "500ms", "longest_ejection": "1s"},
                "health_check": {"interval": "300ms", "timeout": "2s", "unhealthy_after": 2, "healthy_after": 1}}},
            "dns": {"servers": [f"127.0.0.1:{DNS_PORT}"], "refresh": "1s", "timeout": "5s"},
            "services": {"api": {"hosts": [HOST], "upstream": "api"}},
            "issuers": {"login": {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"file": "keys.jwks.json"}}},
            "policy": {"directory": "policies"},
            "audit": {"output": str(directory / "audit" / f"{name}.jsonl")},
        }))
        self.process = None

    async def start(self):
        self.process = subprocess.Popen([self.program, "run", "--config", self.config],
                                        stdout=subprocess.DEVNULL, stderr=open(self.log_path, "a"))
        await until(f"{self.name} is ready", lambda: ask(self.admin, "/readyz")[0] == 200)

    async def stop(self):
        self.process.terminate()
        assert await asyncio.to_thread(self.process.wait, 60) == 0, self.log()

    def log(self):
        return self.log_path.read_text()

    def metric(self, series):
        """The sum of the series that begin like this."""
        text = ask(self.admin, "/metrics")[1]
        found = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(series)]
        return sum(float(value) for value in found) if found else None


async def until(what, found, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        value = await asyncio.to_thread(found)
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not in time: {what}")
        await asyncio.sleep(0.1)


class Day:
    """The events. Each says what it has seen."""

    def __init__(self, program, directory):
        self.directory = directory
        self.issuer = Issuer(directory)
        (directory / "tls").mkdir()
        (directory / "audit").mkdir()
        # The audit log has a disk of its own, which can be filled.
        run("mount", "-t", "tmpfs", "-o", "size=256m", "audit", directory / "audit")
        self.certificates = Certificates(directory / "tls")
        run(program, "init", directory / "made", "--service", HOST)
        os.rename(directory / "made/policies", directory / "policies")
        (directory / "keys.jwks.json").write_text(self.issuer.jwks())
        self.gates = [Gate(program, directory, name, number) for number, name in enumerate("ab", 1)]
        self.books = Books()
        self.backends = {address: Backend(self.books) for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3")}
        self.kinds = kinds(self.issuer.tokens)
        self.loads = [Load(self.books, PLAIN, self.kinds, source=CLIENT),
                      Load(self.books, TLS, self.kinds, self.certificates.context(), source=CLIENT)]
        self.seen = []

    def replace(self, name, text):
        """A file written as a tool does it: beside, then renamed."""
        path = self.directory / name
        (path.parent / ".next").write_text(text)
        os.rename(path.parent / ".next", path)

    async def logged(self, text, count=1):
        """Waits until both gates have logged a text this often."""
        for gate in self.gates:
            await until(f"{gate.name} logs {text!r}", lambda: len(re.findall(text, gate.log())) >= count)

    async def metrics(self, series, good):
        for gate in self.gates:
            await until(f"{series} of {gate.name}", lambda: (lambda value: value is not None and good(value))(gate.metric(series)))

    def lines(self, text):
        """How often each gate has logged a text."""
        return [len(re.findall(text, gate.log())) for gate in self.gates]

    async def more(self, text, before):
        for gate, count in zip(self.gates, before):
            await until(f"{gate.name} logs {text!r} again", lambda: len(re.findall(text, gate.log())) > count)

    async def traffic(self, share=1):
        """Load between two events."""
        await self.loads[0].until_answered(self.pause * share)

    async def rolling_restart(self):
        for gate in self.gates:
            began = gate.metric("process_start_time_seconds")
            await gate.stop()
            assert "draining" in gate.log()
            await self.traffic(0.3)
            await gate.start()
            assert gate.metric("process_start_time_seconds") > began
            # HAProxy looks every 200 ms.
            await asyncio.sleep(1)
            await self.traffic(0.3)
        return "process_start_time_seconds rose; log: draining, started"

    async def log_rotation(self):
        rule = self.directory / "rotation"
        rule.write_text(f"{self.directory}/audit/*.jsonl {{\n rotate 9\n create 0640\n nocompress\n su root root\n}}\n")
        rule.chmod(0o644)
        text = "the audit log goes on in a new file"
        before = self.lines(text)
        await asyncio.to_thread(run, "logrotate", "--force", "--state", self.directory / "rotation-state", rule)
        await self.more(text, before)
        await self.traffic(0.3)
        assert all((self.directory / f"audit/{gate.name}.jsonl").stat().st_size > 0 for gate in self.gates)
        await self.metrics("opgate_audit_dropped_total", lambda value: value == 0)
        return f"opgate_audit_dropped_total stayed 0; log: {text}"

    async def key_rotation(self):
        new, old = self.issuer.new_key(), self.issuer.key
        reloads = [gate.metric('opgate_reloads_total{outcome="success",part="issuers"}') or 0 for gate in self.gates]
        text = "configuration read"
        before = self.lines(text)
        # The new key is published before it signs, and the old one goes after its last token.
        self.replace("keys.jwks.json", self.issuer.jwks(old, new))
        for gate, count in zip(self.gates, reloads):
            await until("the new key is loaded", lambda: gate.metric('opgate_reloads_total{outcome="success",part="issuers"}') > count)
        await self.more(text, before)
        stale = self.issuer.tokens["ana"]
        self.issuer.tokens.update(self.issuer.sign(new))
        await self.traffic(0.3)
        await asyncio.sleep(1)
        self.replace("keys.jwks.json", self.issuer.jwks(new))
        self.issuer.key = new
        # HAProxy leads these to both gates in turn, among the load's connections.
        path = "/v1/projects/demo/operations/stale"
        await until("a token of the old key is refused", lambda: {ask(PLAIN[1], path, stale, HOST)[0] for _ in range(8)} == {401})
        await self.traffic(0.3)
        return 'opgate_reloads_total{part="issuers"} rose; log: configuration read; tokens of the old key are 401'

    async def certificate_renewal(self):
        series = "opgate_certificate_expiry_timestamp_seconds"
        before = [gate.metric(series) for gate in self.gates]
        text = "a certificate was renewed"
        lines = self.lines(text)
        self.certificates.renew()
        for gate, ends in zip(self.gates, before):
            await until("the new certificate is shown", lambda: gate.metric(series) > ends)
        await self.more(text, lines)
        await self.traffic(0.5)
        return f"{series} rose; log: {text}"

    async def dns_change(self):
        text = "the addresses of a name have changed"
        before = self.lines(text)
        self.names.addresses = ["127.0.0.1", "127.0.0.3"]
        await self.more(text, before)
        await self.metrics(f'opgate_upstream_healthy{{endpoint="127.0.0.3:{BACKEND_PORT}"', lambda value: value == 1)
        await self.traffic(0.3)
        await self.backends["127.0.0.2"].stop()
        await self.traffic(0.3)
        return f"opgate_upstream_healthy has the new endpoint; log: {text}"

    async def bad_policy(self):
        path = "policies/allow/projects/demo.yaml"
        good = (self.directory / path).read_text()
        failed, again = "the last good state stays in force", "loaded again"
        before, later = self.lines(failed), self.lines(again)
        self.replace(path, good + "- role: [\n")
        await self.more(failed, before)
        await self.metrics('opgate_reload_last_successful{part="policy"}', lambda value: value == 0)
        await self.traffic(0.5)
        self.replace(path, good)
        await self.metrics('opgate_reload_last_successful{part="policy"}', lambda value: value == 1)
        await self.more(again, later)
        await self.traffic(0.3)
        return f'opgate_reload_last_successful{{part="policy"}} went to 0 and back; log: {failed}, {again}'

    async def upstream_gone(self):
        out, back = "fails its checks and is left out", "the endpoint passes its checks"
        before, later = self.lines(out), self.lines(back)
        # One of two: the other one has everything.
        await self.backends["127.0.0.3"].stop()
        await self.more(out, before)
        await self.metrics(f'opgate_upstream_healthy{{endpoint="127.0.0.3:{BACKEND_PORT}"', lambda value: value == 0)
        await self.traffic(0.5)
        # Both: clients are told, and ask again.
        for load in self.loads:
            load.backend_is_away = True
        await self.backends["127.0.0.1"].stop()
        await self.metrics(f'opgate_upstream_healthy{{endpoint="127.0.0.1:{BACKEND_PORT}"', lambda value: value == 0)
        # Every client that wants something of the backend asks until it is back.
        away = self.books.counts["away"]
        while self.books.counts["away"] < away + 20:
            await asyncio.sleep(0.1)
        for address in ("127.0.0.1", "127.0.0.3"):
            await self.backends[address].start(address, BACKEND_PORT)
        await self.more(back, later)
        await self.metrics("opgate_upstream_healthy{", lambda value: value >= 2)
        await asyncio.sleep(2)
        for load in self.loads:
            load.backend_is_away = False
        await self.traffic(0.5)
        return f"opgate_upstream_healthy went to 0 and back; log: {out}, {back}; 503 meanwhile: {self.books.counts['away']}"

    async def disk_full(self):
        fill = self.directory / "audit/filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={fill}", "bs=64k"], stderr=subprocess.DEVNULL)
        await self.metrics("opgate_audit_dropped_total", lambda value: value > 0)
        await self.logged("No space left on device")
        await self.traffic(0.5)
        written = [gate.metric("opgate_audit_lines_total") for gate in self.gates]
        fill.unlink()
        for gate, count in zip(self.gates, written):
            await until("lines are written again", lambda: gate.metric("opgate_audit_lines_total") > count)
        await self.traffic(0.5)
        dropped = sum(gate.metric("opgate_audit_dropped_total") for gate in self.gates)
        return f"opgate_audit_dropped_total: {dropped:.0f} lines, each counted in the log; log: No space left on device"

    async def live(self, requests):
        loop = asyncio.get_running_loop()
        self.pause = max(60, requests // 12)
        _, self.names = await loop.create_datagram_endpoint(lambda: Names(["127.0.0.1", "127.0.0.2"]), ("127.0.0.1", DNS_PORT))
        for address, backend in self.backends.items():
            await backend.start(address, BACKEND_PORT)
        balancer = None
        try:
            for gate in self.gates:
                await gate.start()
            balancer = subprocess.Popen(["haproxy", "-db", "-f", haproxy(self.directory, self.gates)], stderr=subprocess.DEVNULL)
            await until("HAProxy listens", lambda: all(listens(address) for address in (PLAIN, TLS)))
            for load in self.loads:
                load.start(CLIENTS // 2)
            await self.traffic()
            for event in (self.rolling_restart, self.log_rotation, self.key_rotation, self.certificate_renewal, self.dns_change,
                          self.bad_policy, self.upstream_gone, self.disk_full):
                began = time.monotonic()
                told = await event()
                print(f"{event.__name__.replace('_', ' ')}: {told} ({time.monotonic() - began:.1f} s)", flush=True)
                assert not self.books.faults, self.books.faults[:5]
            while self.loads[0].answered() < requests:
                await self.traffic()
            for load in self.loads:
                await load.stop()
            for gate in self.gates:
                await gate.stop()
        finally:
            for process in [gate.process for gate in self.gates] + [balancer]:
                if process:
                    process.kill()
                    process.wait()

    def judge(self):
        for path in sorted((self.directory / "audit").glob("*.jsonl*")):
            read_log(self.books, path.read_text().splitlines(), torn=True)
        wrong = self.books.disagreements()
        told = {CLIENT} if KNOWS_PROXY_PROTOCOL else {"127.0.0.1"}
        assert self.books.callers == told, f"the audit log names {self.books.callers} as clients, not {told}"
        print(f"{len(self.books.tries)} tries: {dict(self.books.counts)}; audit lines that the full disk cost: {self.books.lost}")
        assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:20])


def listens(address):
    with socket.socket() as client:
        return client.connect_ex(address) == 0


def haproxy(directory, gates):
    """A balancer of connections, which asks the gates whether requests should be sent to them."""
    lines = ["defaults", " mode tcp", " timeout connect 5s", " timeout client 60s", " timeout server 60s", " retries 5", " option redispatch 1"]
    for name, address, port in (("plain", PLAIN, "listener"), ("tls", TLS, "tls")):
        lines += [f"listen {name}", f" bind {address[0]}:{address[1]}", " option httpchk",
                  " http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost", " http-check expect status 200"]
        lines += [f" server {gate.name} 127.0.0.1:{getattr(gate, port)} check port {gate.admin} inter 200ms fall 1 rise 1"
                  + (" send-proxy-v2" if KNOWS_PROXY_PROTOCOL else "") for gate in gates]
    path = directory / "haproxy.cfg"
    path.write_text("\n".join(lines) + "\n")
    return path


def main():
    needs("haproxy", "openssl", "logrotate", "unshare", "ip")
    if os.environ.get("OPGATE_TEST_NETWORK") != "own":
        # A network and mounts of its own: ports are free, and the small disk goes with the test.
        os.environ["OPGATE_TEST_NETWORK"] = "own"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, "-B", *sys.argv])
    run("ip", "link", "set", "lo", "up")
    program = pathlib.Path(sys.argv[1]).resolve()
    requests = int(os.environ.get("OPGATE_DAY_REQUESTS", "20000"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        day = Day(program, pathlib.Path(name))
        try:
            asyncio.run(day.live(requests))
            day.judge()
        except BaseException:
            for gate in day.gates:
                if gate.log_path.exists():
                    print(f"--- {gate.name}\n" + "\n".join(gate.log().splitlines()[-25:]))
            raise
        finally:
            run("umount", "--lazy", day.directory / "audit")
    print("day: no decision was wrong, and no request was lost")


if __name__ == "__main__":
    main()
