"""Measures one proxy on one row, once."""

import json
import subprocess

from proxies import LOAD_CORE, start

# Below this share of its core, a proxy waits for the load: its rate is not its own.
BUSY = 0.85


def begin(setting, command, *arguments):
    """Starts the load, and waits until its connections stand. None where they do not."""
    command = [setting.tool, command, *arguments]
    log = setting.path("load.log")
    load = start(command, LOAD_CORE, log, subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    if load.stdout.readline() == "ready\n":
        return load
    load.wait()
    raise LoadFailed(log.read_text().strip().splitlines()[-1:])


class LoadFailed(Exception):
    """The load could not be sent."""


def measure(setting, proxy, row, seconds, rate=None):
    """What a request took: CPU, and how many there were."""
    fixed = ["--rate", str(rate)] if rate else []
    load = begin(setting, "load", *row.load(proxy, setting), "--seconds", str(seconds), *fixed)
    before = proxy.cpu()
    load.stdin.write("go\n")
    load.stdin.flush()
    line = load.stdout.readline()
    cpu = proxy.cpu() - before
    load.communicate()
    if not line:
        raise LoadFailed(setting.path("load.log").read_text().strip().splitlines()[-1:])
    result = json.loads(line)
    if result["wrong"] or not result["requests"]:
        raise LoadFailed(f"wrong answers: {result['wrong'] or 'none at all'}")
    if cpu <= 0:
        raise LoadFailed("the proxy was not seen to run")
    result["cpu"] = cpu / result["requests"] * 1e6
    result["rate"] = result["requests"] / result["seconds"]
    result["busy"] = cpu / result["seconds"]
    return result


def idle_memory(setting, proxy, row, connections):
    """The memory with so many connections, each of which has sent one request and waits."""
    arguments = [*row.load(proxy, setting), "--seconds", "1"]
    arguments[arguments.index("--connections") + 1] = str(connections)
    load = begin(setting, "idle", *arguments)
    rss = proxy.rss()
    out, _ = load.communicate("go\n")
    if out.strip() != str(connections):
        raise LoadFailed(setting.path("load.log").read_text().strip().splitlines()[-1:])
    return rss
