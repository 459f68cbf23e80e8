"""Before anything is timed: does each proxy do the job?"""

import http.client
from dataclasses import replace

from measuring import LoadFailed, measure
from rows import CANCEL, H2, ROWS
from setting import HOST

PATH = CANCEL.split(" ")[1]
OTHER_PROJECT = PATH.replace("projects/demo", "projects/other")
TWO_READINGS = PATH.replace("projects/demo", "projects/other/../demo")

# What is checked; the request; the statuses of a proxy that checks it; whether one that does not is out of the
# comparison.
REFUSED = range(400, 500)
CHECKS = [
    ("no token", {"tokens": None}, [401], True),
    ("signature", {"tokens": "forged.tokens"}, [401], True),
    ("expiry", {"tokens": "expired.tokens"}, [401], True),
    ("audience", {"tokens": "other-audience.tokens"}, [401, 403], True),
    ("issuer", {"tokens": "other-issuer.tokens"}, [401, 403], True),
    ("scope", {"tokens": "other-scope.tokens"}, [401, 403], True),
    ("permission of the caller", {"tokens": "strangers.tokens"}, [403], True),
    ("the project in the path", {"path": OTHER_PROJECT}, REFUSED, True),
    ("the HTTP method", {"method": "GET"}, REFUSED, True),
    ("a path that can be read in two ways", {"path": TWO_READINGS}, REFUSED, False),
    ("an empty body, or `{}`", {"body": '{"name": "projects/other"}'}, REFUSED, False),
    ("a token that is sent twice", {"twice": True}, REFUSED, False),
]


def ask(setting, proxy, tokens="known.tokens", path=PATH, method="POST", body="", twice=False):
    """Sends one request, and gives the status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.plain, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("host", HOST)
    connection.putheader("content-length", str(len(body)))
    if tokens:
        for _ in range(2 if twice else 1):
            connection.putheader("authorization", "Bearer " + setting.first_token(tokens))
    connection.endheaders(body.encode())
    answer = connection.getresponse()
    told = answer.status, answer.read()
    connection.close()
    return told


def verify(setting, proxy):
    """Gives what the proxy checks. Ends the run where it does not do the job."""
    good = ask(setting, proxy)
    if good != (200, b"{}"):
        raise SystemExit(f"{proxy.title}: a good request is answered with {good}")
    if not proxy.judges:
        return {what: False for what, *_ in CHECKS}
    # Both kinds of an empty message must pass, or a check of the body says nothing.
    checked = {"`{}` passes": ask(setting, proxy, body="{}")[0] == 200}
    for what, request, statuses, required in CHECKS:
        status, _ = ask(setting, proxy, **request)
        checked[what] = status in statuses
        if required and not checked[what]:
            raise SystemExit(f"{proxy.title} does not check {what}: it answers {status}")
    verify_ways(setting, proxy)
    return checked


def verify_ways(setting, proxy):
    """Refusals over HTTP/2 and TLS: the rows there are of allowed requests."""
    for row in ROWS:
        if row.name in ("no-token", "no-permission"):
            for way in (H2, {"tls": True}, H2 | {"tls": True}):
                try:
                    measure(setting, proxy, replace(row, **way), 0.1)
                except LoadFailed as failed:
                    raise SystemExit(f"{proxy.title}: {row.title}, {way}: {failed}")
