#!/usr/bin/env python3
"""Sends every job of the comparison to an instrumented opgate, which writes its profile when it ends: make release-pgo."""

import argparse
import os
import signal
import sys
from pathlib import Path

from measuring import LoadFailed, measure
from proxies import LOAD_CORE, Proxy, start
from rows import ROWS
from setting import Setting
from verify import verify

# A process that was asked to end, and its profile, are given so many seconds.
PATIENCE = 60


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--opgate", type=Path, required=True, help="the instrumented program")
    parser.add_argument("--programs", type=Path, required=True, help="where peer-load is")
    parser.add_argument("--directory", type=Path, required=True, help="keys, tokens, configurations, logs")
    parser.add_argument("--profile", type=Path, required=True, help="where the profile goes: a directory")
    parser.add_argument("--seconds", type=float, default=2, help="of each job (default: 2)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    os.environ["LLVM_PROFILE_FILE"] = str(arguments.profile.resolve() / "opgate-%p.profraw")
    setting = Setting(arguments.directory, arguments.programs / "peer-load", 30000)
    setting.prepare()
    proxy = Proxy("opgate", "opgate", True, "opgate.yaml", [arguments.opgate.resolve(), "run", "--config", "{config}"])
    listen = ["backend", "--listen", f"127.0.0.1:{setting.backend}"]
    backend = start([setting.tool, *listen], LOAD_CORE, setting.path("backend.log"))
    try:
        proxy.start(setting)
        verify(setting, proxy)
        for row in ROWS:
            result = measure(setting, proxy, row, arguments.seconds * row.share)
            print(f"{row.title}: {result['requests']} requests", file=sys.stderr, flush=True)
        # Not killed: the profile is written at the end.
        proxy.process.send_signal(signal.SIGTERM)
        proxy.process.wait(PATIENCE)
    except LoadFailed as failed:
        raise SystemExit(f"the program could not be trained: {failed}") from failed
    finally:
        proxy.stop()
        backend.kill()
        backend.wait()
    if not list(arguments.profile.glob("*.profraw")):
        raise SystemExit(f"{arguments.opgate} has written no profile: it is not instrumented")


if __name__ == "__main__":
    main()
