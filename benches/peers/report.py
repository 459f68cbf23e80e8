"""The tables, as Markdown."""

import json
import statistics

from rows import ROWS
from verify import CHECKS

# What issue 14 promises: row, proxy, what, at most.
PROMISES = [
    ("allowed", "pingora", 0.85),
    ("allowed", "haproxy", 0.6),
    ("allowed", "envoy", 0.35),
    ("once", "haproxy", 0.85),
    ("no-token", "haproxy", 1.3),
    ("bad-signature", "haproxy", 0.9),
    ("no-permission", "haproxy", 0.5),
]

COSTS = """CPU of the proxy in µs: for each request; for transfers, for each MiB. Median (least–most) of the rounds, and how
many there were in a second. `*`: the proxy waited for the load, so its rate is not its own."""
RATIOS = "CPU of opgate for that of the peer, round by round: below 1, opgate is cheaper."


def table(head, lines):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(out + ["| " + " | ".join(line) + " |" for line in lines])


def digits(value):
    """Three digits are all that a measurement here is worth."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values):
    if len(values) == 1:
        return digits(values[0])
    return f"{digits(statistics.median(values))} ({digits(min(values))}–{digits(max(values))})"


class Report:
    """What was measured. `cells`: row and proxy to the results of the rounds, or a text where it failed."""

    def __init__(self, proxies):
        self.proxies = proxies
        self.cells, self.checked, self.memory, self.latency = {}, {}, {}, {}

    def keep(self, file):
        """Writes each round down, for other questions than those of the tables."""
        parts = {"cpu": self.cells, "latency": self.latency, "memory": self.memory}
        rounds = {part: {" / ".join(key): found[key] for key in found} for part, found in parts.items()}
        file.write_text(json.dumps(rounds, indent=1))

    def results(self, row, proxy):
        """The rounds of a row, or none where there are none."""
        found = self.cells.get((row.name, proxy.name))
        return found if isinstance(found, list) else []

    def measured_rows(self):
        return [row for row in ROWS if any((row.name, proxy.name) in self.cells for proxy in self.proxies)]

    def cost(self, row, proxy):
        """CPU of a request; for transfers, of a MiB, with the MB in a second."""
        found = self.cells.get((row.name, proxy.name))
        if not isinstance(found, list):
            return found or ""
        rate = statistics.median(result["rate"] for result in found)
        waits = " *" if any(result["waits"] for result in found) else ""
        text = f"{digits(rate * 1.048576)} MB/s" if row.transfers else f"{digits(rate)}/s"
        return f"{spread([result['cpu'] for result in found])}<br>{text}{waits}"

    def ratio(self, row, proxy):
        """The CPU of opgate for that of the proxy, round by round."""
        ours, theirs = self.results(row, self.proxies[0]), self.results(row, proxy)
        if not ours or not theirs:
            return ""
        return spread([a["cpu"] / b["cpu"] for a, b in zip(ours, theirs)])

    def costs(self):
        head = ["job", *(proxy.title for proxy in self.proxies)]
        lines = [[row.title, *(self.cost(row, one) for one in self.proxies)] for row in self.measured_rows()]
        return table(head, lines)

    def ratios(self):
        peers = self.proxies[1:]
        head = ["job", *(proxy.title for proxy in peers)]
        lines = [[row.title, *(self.ratio(row, peer) for peer in peers)] for row in self.measured_rows()]
        return table(head, lines)

    def checks(self):
        judges = [proxy for proxy in self.proxies if proxy.judges and proxy.name in self.checked]
        head = ["what is checked", *(proxy.title for proxy in judges)]
        names = ["`{}` passes", *(what for what, *_ in CHECKS)]
        yes_no = {True: "yes", False: "no"}
        return table(head, [[what, *(yes_no[self.checked[one.name][what]] for one in judges)] for what in names])

    def memories(self):
        head = ["memory, MiB", *(proxy.title for proxy in self.proxies)]
        lines = []
        for what in dict.fromkeys(what for what, _ in self.memory):
            values = [self.memory.get((what, proxy.name), "") for proxy in self.proxies]
            lines.append([what, *(value if isinstance(value, str) else f"{value:.0f}" for value in values)])
        return table(head, lines)

    def latencies(self):
        head = ["ms", *(proxy.title for proxy in self.proxies)]
        lines = []
        for load in dict.fromkeys(load for load, _ in self.latency):
            found = [self.latency.get((load, proxy.name)) for proxy in self.proxies]
            lines.append([load, *(self.rates(cell) for cell in found)])
            for name, title in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
                lines.append([title, *(self.times(cell, name) for cell in found)])
        return table(head, lines)

    @staticmethod
    def rates(found):
        if not isinstance(found, list):
            return found or ""
        return f"{digits(statistics.median(result['rate'] for result in found))}/s"

    @staticmethod
    def times(found, name):
        return spread([result[name] for result in found]) if isinstance(found, list) else ""

    def promises(self):
        by_name = {proxy.name: proxy for proxy in self.proxies}
        rows = {row.name: row for row in ROWS}
        lines = []
        for row, peer, most in PROMISES:
            ours = self.results(rows[row], self.proxies[0])
            theirs = self.results(rows[row], by_name[peer]) if peer in by_name else []
            if ours and theirs:
                ratio = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(ours, theirs))
                kept = "yes" if ratio <= most else "no"
                lines.append([rows[row].title, by_name[peer].title, f"{most}", f"{ratio:.2f}", kept])
        return table(["job", "peer", "goal", "measured", "reached"], lines) if lines else ""

    def markdown(self, conditions):
        parts = [conditions]
        if self.measured_rows():
            parts += [COSTS, self.costs(), RATIOS, self.ratios()]
        if self.latency:
            parts += ["Time of an allowed request with a known token, at a fixed rate.", self.latencies()]
        parts += ["Resident memory.", self.memories()]
        parts += ["What each was seen to check, in this run.", self.checks()]
        if self.promises():
            parts += ["Goals: CPU of opgate for that of the peer.", self.promises()]
        return "\n\n".join(parts) + "\n"
