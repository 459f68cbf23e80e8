"""Streams of each kind over gRPC, with Python's own library. The argument is the file of a plan: hosts and tokens.

The last argument is the folder of `streams_pb2.py`. Prints a line of JSON for each row, as calls.py does.
"""

import json
import sys
import threading

import grpc
from google.api_core import exceptions

with open(sys.argv[1]) as file:
    PLAN = json.load(file)
sys.path.insert(0, sys.argv[2])
from streams_pb2 import Part, Summary, WatchRequest  # noqa: E402  (it is made by descriptors.py)

SERVICE = "/opgate.test.v1.Streams/"
NAME = "projects/demo/streams/s"
MEBIBYTE = 1 << 20


def channel(**options):
    sizes = [("grpc.max_receive_message_length", 16 << 20)]
    return grpc.insecure_channel(PLAN["streams"], options=[("grpc.default_authority", "streams.localhost"), *sizes],
                                 **options)


def metadata(token="good"):
    return [("authorization", f"Bearer {PLAN['tokens'][token]}")]


def row(name, call):
    try:
        line = {"answer": call()}
    except grpc.RpcError as error:
        told = exceptions.from_grpc_error(error)
        line = {"code": error.code().name, "message": error.details(), "reason": told.reason, "domain": told.domain,
                "metadata": dict(told.metadata or {})}
    print(json.dumps({"row": name, **line}), flush=True)


class Calls:
    """The methods of the service over one connection."""

    def __init__(self, **options):
        self.channel = channel(**options)

    def upload(self, parts, **options):
        call = self.channel.stream_unary(SERVICE + "Upload", Part.SerializeToString, Summary.FromString)
        return call(iter(parts), metadata=options.pop("metadata", metadata()), timeout=60, **options)

    def watch(self, request, **options):
        call = self.channel.unary_stream(SERVICE + "Watch", WatchRequest.SerializeToString, Part.FromString)
        return call(request, metadata=options.pop("metadata", metadata()), timeout=60, **options)

    def chat(self, parts, **options):
        call = self.channel.stream_stream(SERVICE + "Chat", Part.SerializeToString, Part.FromString)
        return call(parts, metadata=options.pop("metadata", metadata()), timeout=60, **options)


def uploaded(parts, calls=None, **options):
    summary = (calls or Calls()).upload(parts, **options)
    return [summary.parts, summary.bytes]


def watched(calls):
    call = calls.watch(WatchRequest(name=NAME, count=5, size=1000))
    parts = [[part.name.rsplit("/")[-1], len(part.data)] for part in call]
    trailers = {key: value if isinstance(value, str) else list(value) for key, value in call.trailing_metadata()}
    return [parts, trailers["x-parts"], trailers["x-parts-bin"]]


def by_turns(calls):
    """Sends a part only when the part before it has come back: neither direction waits for the end of the other."""
    back = threading.Semaphore(1)

    def parts():
        for number in range(5):
            back.acquire()
            yield Part(name=NAME, data=bytes([number]))

    call = calls.chat(parts())
    came = []
    for part in call:
        came.append(list(part.data))
        back.release()
    return [dict(call.initial_metadata())["x-chat"], came]


def walked_away(calls):
    """Takes two parts of many, then cancels."""
    call = calls.watch(WatchRequest(name=f"{NAME}-away", count=100_000, size=10_000))
    came = [len(next(call).data) for _ in range(2)]
    call.cancel()
    return came


calls = Calls()
parts = [Part(name=NAME if number == 0 else "", data=b"x" * 1000) for number in range(10)]
row("upload", lambda: uploaded(parts, calls))
row("upload of the same name", lambda: uploaded([Part(name=NAME, data=b"x")] * 3, calls))
row("upload of 4 MiB", lambda: uploaded([Part(name=NAME, data=b"x" * (4 * MEBIBYTE - 1024))], calls))
row("upload with gzip", lambda: uploaded(parts, Calls(compression=grpc.Compression.Gzip)))
row("watch", lambda: watched(calls))
row("watch with gzip", lambda: watched(Calls(compression=grpc.Compression.Gzip)))
row("chat", lambda: by_turns(calls))
row("chat with gzip", lambda: by_turns(Calls(compression=grpc.Compression.Gzip)))
row("watch cancelled", lambda: walked_away(calls))
row("no permission", lambda: uploaded(parts, calls, metadata=metadata("stranger")))
row("another name later", lambda: uploaded([parts[0], Part(name="projects/other/streams/s")], calls))
row("no name", lambda: uploaded(parts[1:], calls))
row("deflate", lambda: uploaded(parts, Calls(compression=grpc.Compression.Deflate)))
