#!/usr/bin/env python3
"""The image of packaging/docker/Dockerfile: its steps run by buildah without a daemon, its files listed and compared with what
may be there, and the image run as a container runs it: another user than root, a read-only root, no capabilities.

    packaging/tests/image.py PROGRAM      (make image)

The registry of the builder's image cannot be reached from everywhere. So the builder is a Debian that debootstrap makes, with a
`cargo` which puts PROGRAM where a build would: all other steps are those of the Dockerfile.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from machine import ROOT, TARGET, base, needs, run, stripped
from pages import commands
from probe import free_port, status, until
from tokens import Issuer

BUILDER, IMAGE = "localhost/opgate-builder", "localhost/opgate-test"
# Every file of the image.
MAY_BE_THERE = [
    r"/usr/bin/opgate",
    r"/lib/[^/]+-linux-gnu/(libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1)",
    r"/lib64/ld-linux-x86-64\.so\.2|/lib/ld-linux-aarch64\.so\.1",
    r"/etc/(passwd|group|nsswitch\.conf)",
    r"/etc/ssl/certs/ca-certificates\.crt",
]
# Most bytes beside the program.
MOST_BYTES = 5_000_000


def buildah(*arguments):
    return run("buildah", "--root", TARGET / "package-test/images", "--runroot", TARGET / "package-test/images-run",
               "--storage-driver", "vfs", *arguments)


def builder(program):
    """A Debian with a `cargo` that brings what has been built outside."""
    container = buildah("from", "scratch").strip()
    with tempfile.TemporaryDirectory() as directory:
        cargo = pathlib.Path(directory, "cargo")
        cargo.write_text("#!/bin/sh\nset -eu\n[ \"$1 $2 $3\" = 'build --locked --release' ]\nmkdir -p target/release\ncp /built/opgate target/release/opgate\n")
        cargo.chmod(0o755)
        buildah("copy", "--quiet", container, base(), "/")
        buildah("copy", "--quiet", container, cargo, "/usr/local/bin/cargo")
        buildah("copy", "--quiet", container, program, "/built/opgate")
    buildah("commit", "--quiet", container, BUILDER)
    buildah("rm", container)


def files(root):
    found = {}
    for path in sorted(pathlib.Path(root).rglob("*")):
        name = "/" + str(path.relative_to(root))
        if path.is_symlink() or not path.is_dir():
            found[name] = path
    return found


def look(root):
    """No shell, no package manager, nothing that is not needed."""
    found = files(root)
    for name, path in found.items():
        print(f"{path.stat().st_mode & 0o7777:04o} {path.stat().st_size:>9} {name}")
        assert any(re.fullmatch(pattern, name) for pattern in MAY_BE_THERE), f"{name} has no place in the image"
        assert not path.is_symlink() and path.stat().st_mode & 0o7022 == 0, f"{name}: others may write it, or it has its owner's rights"
    size = sum(path.stat().st_size for path in found.values())
    beside = size - found["/usr/bin/opgate"].stat().st_size
    assert beside <= MOST_BYTES, f"{beside} bytes beside the program"
    return len(found), size


def contained(root, configuration, *command):
    """A command as a container runs it."""
    script = """
        set -e
        root=$1 configuration=$2; shift 2
        mount --bind "$root" "$root"
        mount --bind "$configuration" "$root/etc/opgate"
        mount -o remount,ro,bind "$root/etc/opgate"
        mount -o remount,ro,bind "$root"
        exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$root" "$@"
    """
    return ["unshare", "--mount", "--ipc", "--uts", "bash", "-c", script, "bash", root, configuration, *command]


def serve(root, config, directory):
    """The image's own command and health check, with a configuration that `opgate init` writes."""
    issuer = Issuer(directory)
    configuration = directory / "etc"
    run(root / "usr/bin/opgate", "init", configuration, "--service", "api.example.com")
    (configuration / "keys.jwks.json").write_text(issuer.jwks())
    port, admin = free_port(), free_port()
    path = configuration / "opgate.yaml"
    text = path.read_text()
    for old, new in [("127.0.0.1:8080", f"127.0.0.1:{port}"), ("127.0.0.1:9901", f"127.0.0.1:{admin}"),
                     ("keys: {discovery: openid}", "keys: {file: keys.jwks.json}")]:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)
    run("chmod", "-R", "a+rX", directory)
    health = config["Healthcheck"]["Test"]
    assert health[0] == "CMD", "the image has no shell"
    check = contained(root, configuration, *health[1:])
    assert subprocess.run(check, capture_output=True).returncode == 1, "healthy before it runs"
    gate = subprocess.Popen(contained(root, configuration, *config["Entrypoint"], *config["Cmd"]),
                            stdout=subprocess.DEVNULL, stderr=open(directory / "log", "w"))
    try:
        until("the health check says yes", lambda: subprocess.run(check, capture_output=True).returncode == 0)
        proc = pathlib.Path(f"/proc/{gate.pid}/status").read_text()
        rights = dict(line.split(":\t", 1) for line in proc.splitlines())
        assert rights["Uid"].split() == ["65532"] * 4 and rights["Groups"].strip() == "" and rights["NoNewPrivs"] == "1"
        assert int(rights["CapEff"], 16) == int(rights["CapPrm"], 16) == 0
        call = "/v1/projects/demo/operations/o:cancel"
        until("keys", lambda: status(port, call, issuer.tokens["bob"], method="POST") == 403)
        # There is no backend: an allowed call is 503, and a refused one never gets that far.
        assert status(port, call, issuer.tokens["ana"], method="POST") in (502, 503)
        assert status(port, call, issuer.tokens["forged"], method="POST") == 401
        gate.terminate()
        assert gate.wait(40) == 0, "it drains on SIGTERM"
    except BaseException:
        print((directory / "log").read_text())
        raise
    finally:
        gate.kill()


def main():
    needs("buildah", "debootstrap", "unshare", "setpriv")
    program = pathlib.Path(sys.argv[1]).resolve()
    builder(stripped(program))
    # The guide's own command, with another builder.
    build, start = (shlex.split(line) for line in commands("operations.md", "sh image"))
    assert build[:2] == ["docker", "build"] and build[-3:] == ["-t", "opgate", "."], build
    assert start[:4] == ["docker", "run", "--read-only", "--cap-drop=ALL"], start
    os.chdir(ROOT)
    print(buildah("build", "--isolation", "chroot", "--pull-never", "--build-arg", f"BUILDER={BUILDER}", "--format", "docker",
                  *build[2:-3], "-t", IMAGE, build[-1]))
    config = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    assert config["User"] == "65532:65532" and config["Entrypoint"] == ["/usr/bin/opgate"], config
    container = buildah("from", "--pull-never", IMAGE).strip()
    try:
        root = pathlib.Path(buildah("mount", container).strip())
        count, size = look(root)
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            serve(root, config, pathlib.Path(directory))
    finally:
        buildah("rm", container)
        buildah("rmi", "--all", "--force")
    print(f"image: {count} files, {size / 1e6:.1f} MB; healthy as user 65532 with a read-only root and no capability")


if __name__ == "__main__":
    main()
