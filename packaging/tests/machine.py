"""A Debian machine of its own in namespaces: debootstrap's base, an overlay that takes what is written, and systemd.

The test and the machine share a network that has nothing but a loopback of its own: it needs no free port, and reaches no
other machine.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PACKAGES = "systemd,systemd-sysv,dbus,adduser,logrotate,ca-certificates,procps,iproute2,man-db,bash-completion"


def run(*command, **more):
    """Runs a program that must succeed; gives its output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def needs(*programs):
    """Ends the test where the machine does not have what it needs: a failure in CI, else a skip."""
    missing = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if missing:
        print(f"skipped: it needs {', '.join(missing)}")
        sys.exit(1 if os.environ.get("CI") == "true" else 0)


def stripped(program):
    """The program without what debuggers read, which would be most of a package."""
    (TARGET / "package-test").mkdir(parents=True, exist_ok=True)
    run("strip", "-o", TARGET / "package-test/opgate", program)
    return TARGET / "package-test/opgate"


def base():
    """A small Debian, made once."""
    directory = TARGET / "package-test" / "base"
    stamp = directory / "etc" / "opgate-test-base"
    if not stamp.exists() or stamp.read_text() != PACKAGES:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", directory)
        stamp.write_text(PACKAGES)
    return directory


def enter_network():
    """Goes on in a network of its own. What needs the machine's network is done before."""
    if os.environ.get("OPGATE_TEST_NETWORK") != "own":
        os.environ["OPGATE_TEST_NETWORK"] = "own"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-B", *sys.argv])
    run("ip", "link", "set", "lo", "up")


class Machine:
    def __init__(self, name):
        self.name = name
        self.directory = TARGET / "package-test" / name
        self.root = self.directory / "root"
        self.container = self.leader = None

    def __enter__(self):
        lower = base()
        self.unmount()
        shutil.rmtree(self.directory, ignore_errors=True)
        for name in ("root", "upper", "work"):
            (self.directory / name).mkdir(parents=True)
        layers = f"lowerdir={lower},upperdir={self.directory}/upper,workdir={self.directory}/work"
        run("mount", "-t", "overlay", "overlay", "-o", layers, self.root)
        return self

    def __exit__(self, *_):
        if self.container:
            # SIGTERM has systemd-nspawn end the container; it removes what it has made of namespaces and groups.
            self.container.terminate()
            try:
                self.container.wait(20)
            except subprocess.TimeoutExpired:
                self.container.kill()
                self.container.wait()
        self.unmount()

    def unmount(self):
        subprocess.run(["umount", "-q", self.root], check=False, stderr=subprocess.DEVNULL)

    def boot(self):
        """Starts systemd, and waits until it has started everything."""
        log = open(self.directory / "console", "w")
        self.container = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={self.name}", "-D", self.root, "--boot"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(600):
            if self.container.poll() is not None:
                raise AssertionError((self.directory / "console").read_text())
            self.leader = self.leader or self.find_leader()
            if self.leader:
                state = subprocess.run(self.inside("systemctl", "is-system-running"), capture_output=True, text=True)
                # Some units of a machine cannot start in namespaces; none of them is the gate's.
                if state.stdout.strip() in ("running", "degraded"):
                    return
            time.sleep(0.1)
        raise AssertionError("systemd has not started:\n" + (self.directory / "console").read_text())

    def find_leader(self):
        """systemd's process id outside."""
        children = subprocess.run(["pgrep", "-P", str(self.container.pid)], capture_output=True, text=True).stdout.split()
        for child in children:
            if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return child
        return None

    def inside(self, *command):
        return ["nsenter", "--target", self.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wdns=/",
                "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "HOME=/root",
                *map(str, command)]

    def run(self, *command):
        """Runs a command that must succeed; gives its output."""
        return run(*self.inside(*command))

    def shell(self, line):
        return self.run("bash", "-ec", line)

    def fails(self, *command):
        done = subprocess.run(self.inside(*command), capture_output=True, text=True)
        assert done.returncode != 0, f"{command} succeeded: {done.stdout}"
        return done.stdout + done.stderr

    def path(self, name):
        return self.root / name.lstrip("/")

    def write(self, name, text, mode=0o644):
        self.path(name).write_text(text)
        self.path(name).chmod(mode)

    def files(self):
        """Every path that a package may leave behind, and the texts that list users."""
        passing = ("/proc", "/sys", "/dev", "/tmp", "/run/systemd", "/run/log", "/run/udev", "/run/dbus", "/run/user", "/var/tmp",
                   "/var/log/journal", "/var/log/apt", "/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/lib/systemd/deb-systemd",
                   "/root", "/var/lib/systemd/timers", "/var/lib/private", "/var/log/btmp", "/var/log/wtmp", "/var/log/dpkg.log",
                   "/var/log/alternatives.log", "/var/log/faillog", "/var/log/lastlog")
        # Notes of adduser, agetty, man and logrotate about themselves.
        notes = ("/srv", "/run/adduser", "/run/agetty.reload", "/var/cache/man", "/var/lib/logrotate/status")
        text = self.shell("find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -print; find /run -print; "
                          "cat /etc/passwd /etc/group /etc/shadow /etc/gshadow | cut -d: -f1,3,4; find /var/lib/systemd/deb-systemd* -print")
        lines = set(text.splitlines())
        return {line for line in lines if not line.startswith(notes) and ("opgate" in line or not line.startswith(passing))}
