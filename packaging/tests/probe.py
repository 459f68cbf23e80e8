"""Asks a gate that runs on this machine."""

import socket
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def status(port, path, token=None, host="api.example.com", method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers={"Host": host})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, ConnectionError):
        return None


def until(what, found):
    for _ in range(600):
        if found():
            return
        time.sleep(0.1)
    raise AssertionError(f"not in time: {what}")
