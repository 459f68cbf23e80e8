#!/usr/bin/env python3
"""The Debian package on a machine of its own, under systemd: lintian, installed, started, one cancel allowed and one refused,
upgraded under load, purged.

    packaging/tests/package.py [PROGRAM]

PROGRAM is target/release/opgate by default. `make package-test` says what it needs.
"""

import asyncio
import gzip
import os
import re
import subprocess
import sys
import tempfile

from load import Backend, Books, Load, kinds, read_log
from machine import ROOT, TARGET, Machine, base, enter_network, needs, run, stripped
from pages import commands
from tokens import Issuer

GATE = ("127.0.0.1", 8080)
# The rights that the unit leaves to the gate, as `systemd-analyze security` counts them: 10.0 is all.
MOST_EXPOSURE = 1.6


def build(program):
    """Two packages of one program, the second as its upgrade. The same source gives the same bytes."""
    quickly = {**os.environ, "OPGATE_DEB_COMPRESSION": "-z0"}
    first, second = (run(ROOT / "packaging/debian/build", program, revision, env=quickly).strip() for revision in "12")
    content = (ROOT / second).read_bytes()
    run(ROOT / "packaging/debian/build", program, "2", env=quickly)
    assert (ROOT / second).read_bytes() == content, "another build of the same package has other bytes"
    print(run("lintian", "--allow-root", "--fail-on", "error,warning", first) or "lintian: nothing to say")
    return [ROOT / first, ROOT / second]


def configure(machine, issuer):
    """What the guide says: where the API is, and who signs its tokens."""
    machine.write("/etc/opgate/keys.jwks.json", issuer.jwks())
    path = "/etc/opgate/opgate.yaml"
    text = machine.path(path).read_text()
    changed = text.replace("keys: {discovery: openid}", "keys: {file: keys.jwks.json}")
    changed = changed.replace("upgrade.sock}", "upgrade.sock, timeout: 15s}")
    assert changed.count("{file: keys.jwks.json}") == changed.count("timeout: 15s") == 1
    machine.write(path, changed)


def installed(machine):
    """What the package brought."""
    assert machine.run("stat", "-c", "%U:%G %a", "/etc/opgate").strip() == "root:opgate 750"
    assert machine.run("stat", "-c", "%U:%G %a", "/run/opgate").strip() == "opgate:opgate 750"
    assert "disabled" in machine.fails("systemctl", "is-enabled", "opgate")
    assert "inactive" in machine.fails("systemctl", "is-active", "opgate")
    assert machine.run("systemd-analyze", "verify", "/lib/systemd/system/opgate.service") == ""
    security = machine.run("systemd-analyze", "security", "--no-pager", "opgate.service")
    exposure = float(re.search(r"exposure level for opgate.service: ([0-9.]+)", security)[1])
    print(f"systemd-analyze security: {exposure} of 10")
    assert exposure <= MOST_EXPOSURE, security
    pages = machine.shell("ls /usr/share/man/man1/opgate*").split()
    assert len(pages) > 10
    for page in pages:
        assert machine.run("man", "--warnings", "--local-file", page), page
        warnings = machine.shell(f"man --warnings --local-file {page} 2>&1 >/dev/null")
        assert warnings == "", f"{page}: {warnings}"
    # Debian's own loader finds the completion by the command's name.
    completed = machine.shell(
        "set +e; . /usr/share/bash-completion/bash_completion; _completion_loader opgate; COMP_WORDS=(opgate he); COMP_CWORD=1; "
        "$(complete -p opgate | sed 's/.*-F \\([^ ]*\\).*/\\1/') opgate he opgate; echo ${COMPREPLY[@]}")
    assert "health" in completed.split(), completed
    assert "opgate check" in machine.shell("sed -n 1,9p /etc/opgate/opgate.yaml")
    machine.run("opgate", "check", "--config", "/etc/opgate/opgate.yaml")
    machine.run("opgate", "test", "/etc/opgate/policies")


def follow(machine, kind, directory="/"):
    """Runs the commands of the guide."""
    return [machine.shell(f"cd {directory}; {command}") for command in commands("operations.md", f"sh package {kind}")]


def main_process(machine):
    return int(machine.run("systemctl", "show", "--property", "MainPID", "--value", "opgate").strip())


def program_of(machine, process):
    return machine.run("readlink", f"/proc/{process}/exe").strip()


def audit_lines(machine):
    """All lines, those of rotated files first."""
    lines = []
    for path in sorted(machine.path("/var/log/opgate").iterdir(), key=lambda path: path.name, reverse=True):
        text = gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text()
        lines += text.splitlines()
    return lines


async def live(machine, issuer, second):
    """The life of the service under load."""
    books = Books()
    await Backend(books).start("127.0.0.1", 9000)
    inside = lambda *command: asyncio.to_thread(machine.run, *command)

    guide = lambda kind, directory="/": asyncio.to_thread(follow, machine, kind, directory)
    await guide("start")
    # `Type=notify`: started means that it serves. Its keys may come a moment later.
    await inside("bash", "-c", "until opgate health --ready --config /etc/opgate/opgate.yaml; do sleep 0.1; done")
    all_kinds = kinds(issuer.tokens)
    for kind in all_kinds:
        load = Load(books, GATE, [kind])
        await load.call(kind, None, keep=False)
    assert books.disagreements(logged=False) == [] and books.counts == {"allowed": 3, "refused": 3}, (books.faults, books.counts)
    print("one of each: ana's cancel is allowed, bob's is refused, and so are those without a token and with a forged one")

    load = Load(books, GATE, all_kinds)
    load.start(16)
    await load.until_answered(500)
    first = main_process(machine)

    # Files are read again, and the program takes over from itself; then the log is rotated, as cron has it done.
    await guide("operate")
    while main_process(machine) in (first, 0):
        await asyncio.sleep(0.05)
    first = main_process(machine)
    await load.until_answered(200)
    await inside("logrotate", "--force", "/etc/logrotate.d/opgate")
    await load.until_answered(500)
    mode = machine.run("stat", "-c", "%U:%G %a", "/var/log/opgate/audit.jsonl", "/var/log/opgate/audit.jsonl.1")
    assert mode.split("\n")[:2] == ["opgate:opgate 640"] * 2, mode
    assert machine.path("/var/log/opgate/audit.jsonl").stat().st_size > 0, "the gate writes on into the file that was rotated"

    # The second version takes over.
    said = await guide("upgrade", "/srv/second")
    assert "has not taken over" not in said[0], said[0]
    now = main_process(machine)
    assert now != first, "the service has the process of the first version"
    assert program_of(machine, now) == "/usr/bin/opgate"
    await load.until_answered(500)
    await inside("bash", "-c", f"for _ in $(seq 450); do kill -0 {first} 2>/dev/null || exit 0; sleep 0.1; done; exit 1")
    assert machine.run("systemctl", "is-active", "opgate").strip() == "active"

    # An upgrade that cannot work: the running one serves on.
    third = main_process(machine)
    good = machine.path("/etc/opgate/opgate.yaml").read_text()
    machine.write("/etc/opgate/opgate.yaml", good + "no_such_key: 1\n")
    said = await inside("bash", "-c", "dpkg --install /srv/second/opgate_*.deb 2>&1")
    assert "the new program has not taken over; the old one serves on" in said, said
    assert "no new process has taken over" in await inside("journalctl", "--unit", "opgate")
    assert machine.run("systemctl", "show", "--property", "StatusText", "--value", "opgate").startswith("upgrade failed: ")
    assert main_process(machine) == third
    machine.write("/etc/opgate/opgate.yaml", good)
    await load.until_answered(500)
    await load.stop()

    # A restart drains.
    await inside("systemctl", "stop", "opgate")
    state = machine.run("systemctl", "show", "--property", "Result,ExecMainStatus", "opgate").split()
    assert state == ["Result=success", "ExecMainStatus=0"], state
    read_log(books, audit_lines(machine))
    disagreements = books.disagreements()
    print(f"{len(books.tries)} tries: {dict(books.counts)}")
    assert disagreements == [], "\n".join(disagreements[:20])
    assert books.counts["unsent"] == 0, "connections were refused"
    await inside("systemctl", "start", "opgate")


def main():
    needs("systemd-nspawn", "debootstrap", "lintian", "dpkg-buildpackage", "unshare", "ip")
    base()
    enter_network()
    program = sys.argv[1] if len(sys.argv) > 1 else TARGET / "release/opgate"
    first, second = build(stripped(program))
    with tempfile.TemporaryDirectory() as directory, Machine("package") as machine:
        issuer = Issuer(directory)
        machine.boot()
        before = machine.files()
        for name, package in (("first", first), ("second", second)):
            machine.path(f"/srv/{name}").mkdir()
            run("cp", package, machine.path(f"/srv/{name}/{package.name}"))
        follow(machine, "install", "/srv/first")
        installed(machine)
        configure(machine, issuer)
        try:
            asyncio.run(live(machine, issuer, second))
        except BaseException:
            print(machine.run("journalctl", "--no-pager", "--unit", "opgate", "--lines", "200"))
            raise
        # It serves while it is removed. What the operator wrote stays, and is all that stays.
        follow(machine, "remove")
        assert subprocess.run(machine.inside("pgrep", "-x", "opgate"), stdout=subprocess.DEVNULL).returncode == 1
        residue = sorted(machine.files() - before)
        assert residue == ["/etc/opgate", "/etc/opgate/keys.jwks.json"], residue
        assert before - machine.files() == set()
    print("package: installed, upgraded under load without a failed request, and purged without residue")


if __name__ == "__main__":
    main()
