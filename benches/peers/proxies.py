"""The proxies: how each is configured, started, and what it is measured on."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from setting import free_port

# Proxies run here, with one worker; the load and the backend on the other core.
PROXY_CORE, LOAD_CORE = 0, 1
# As many as this machine allows, to a bound.
OPEN_FILES = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def start(command, core, log, output=subprocess.DEVNULL, **options):
    """Starts a process on one core, with many open files."""

    def prepare():
        os.sched_setaffinity(0, {core})
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    command = [str(part) for part in command]
    with open(log, "wb") as errors:
        return subprocess.Popen(command, stdout=output, stderr=errors, preexec_fn=prepare, **options)


class Proxy:
    """One of those that are compared. `judges`: it does the job, and does not only forward."""

    def __init__(self, name, title, judges, config, command):
        self.name, self.title, self.judges = name, title, judges
        self.config, self.command = config, command
        self.plain, self.tls, self.admin = free_port(), free_port(), free_port()
        self.process = None
        self.rss_at_start = None

    def start(self, setting):
        ports = {"PLAIN": self.plain, "TLS": self.tls, "ADMIN": self.admin, "OPEN_FILES": OPEN_FILES}
        config = setting.path(f"{self.name}{Path(self.config or '').suffix}")
        if self.config:
            config.write_text(setting.fill(self.config, ports))
        values = {"config": config, "dir": setting.directory, "backend": setting.backend, "core": PROXY_CORE}
        values |= {"plain": self.plain, "tls": self.tls}
        command = [str(part).format(**values) for part in self.command]
        self.log = setting.path(f"{self.name}.log")
        self.process = start(command, PROXY_CORE, self.log)
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.05)
            if all(listens(port) for port in (self.plain, self.tls)):
                return
        self.stop()
        raise SystemExit(f"{self.title} does not start:\n{self.log.read_text()[-4000:]}")

    def stop(self):
        if self.process is not None:
            # The parent first: it would start its children again.
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
            self.process = None

    def restart(self, setting):
        self.stop()
        self.start(setting)

    def pids(self):
        """The process and its children: nginx has a worker."""
        pids = [self.process.pid]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and parent(entry) == self.process.pid:
                pids.append(int(entry.name))
        return pids

    def cpu(self):
        """Seconds on a core, in user space and in the kernel, of all threads, also of those that have ended.

        It is what utime and stime of /proc/PID/stat add up to, in nanoseconds instead of ticks of 10 ms: the clock that
        clock_getcpuclockid(3) gives for a process.
        """
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids())

    def rss(self):
        """Resident memory, in MiB."""
        return sum(resident(pid) for pid in self.pids()) / 1024


def stat(process):
    """The fields of /proc/PID/stat from the third on: a name may hold spaces."""
    return (process / "stat").read_text().rsplit(")", 1)[1].split()


def parent(process):
    try:
        return int(stat(process)[1])
    except OSError:
        return None


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def all_proxies(arguments):
    """Those whose programs are there, and the names of the others."""
    programs = arguments.programs
    found, missing = [], []

    def add(name, title, program, judges, config, *command):
        path = shutil.which(program)
        if path:
            found.append(Proxy(name, title, judges, config, [path, *command]))
        else:
            missing.append(title)

    add("opgate", "opgate", arguments.opgate, True, "opgate.yaml", "run", "--config", "{config}")
    bare = ["--plain", "127.0.0.1:{plain}", "--tls", "127.0.0.1:{tls}", "--backend", "127.0.0.1:{backend}"]
    certificate = ["--cert", "{dir}/site.pem", "--key", "{dir}/site-key.pem"]
    add("pingora", "bare Pingora", programs / "bare-pingora", False, None, *bare, *certificate)
    add("haproxy", "HAProxy", "haproxy", True, "haproxy.cfg", "-db", "-f", "{config}")
    add("haproxy-bare", "HAProxy, no check", "haproxy", False, "haproxy-bare.cfg", "-db", "-f", "{config}")
    add("nginx", "nginx + JWT", arguments.nginx, True, "nginx.conf", "-p", "{dir}", "-c", "{config}")
    envoy = ["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", "{config}"]
    add("envoy", "Envoy", arguments.envoy, True, "envoy.yaml", *envoy)
    return found, missing
