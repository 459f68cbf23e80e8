"""Asks a gate that runs on this machine."""

import http.client
import socket
import time


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def ask(port, path, token=None, host=None, method="GET"):
    """The status and the text of an answer; `(None, "")` where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Host": host or f"127.0.0.1:{port}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()


def status(port, path, token=None, host="api.example.com", method="GET"):
    return ask(port, path, token, host, method)[0]


def until(what, found):
    for _ in range(600):
        if found():
            return
        time.sleep(0.1)
    raise AssertionError(f"not in time: {what}")
