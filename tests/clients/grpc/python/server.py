"""A gRPC backend of real services: Operations, one method each of Dataproc and Translation, health, streams of each kind.

The arguments are the port and the folder that `descriptors.py` has written. It writes a line of JSON for each call that it has
got, when the call ends: method, metadata, the bytes of each message, and how it ended. It ends with its standard input.

What an operation does is in its name: `slow-*` runs until the caller goes away, `missing-*` is not found.
"""

import base64
import json
import os
import sys
import threading
import time
from concurrent import futures

import grpc
from google.cloud.dataproc_v1.types import clusters
from google.cloud.translate_v3.types import translation_service
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

port, folder = sys.argv[1:]
sys.path.insert(0, folder)
import streams_pb2  # noqa: E402  (it is made by descriptors.py)

LINES = threading.Lock()


class Call:
    """What one call has brought, told when it ends."""

    def __init__(self, context, method):
        self.context, self.method = context, method
        self.messages, self.remaining = [], context.time_remaining()
        self.end = "cancelled"
        if not context.add_callback(self.tell):
            self.tell()

    def take(self, message):
        self.messages.append(base64.b64encode(message).decode())
        return message

    def tell(self):
        metadata = [[key, value if isinstance(value, str) else base64.b64encode(value).decode()]
                    for key, value in self.context.invocation_metadata()]
        line = {"method": self.method, "metadata": metadata, "messages": self.messages,
                "deadline": self.remaining, "end": self.end}
        with LINES:
            print(json.dumps(line), flush=True)


def not_found(context, name):
    info = error_details_pb2.ErrorInfo(reason="OPERATION_NOT_FOUND", domain="backend.test", metadata={"name": name})
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=code_pb2.NOT_FOUND, message=f"no operation {name}: “ü”", details=[detail])
    context.abort_with_status(rpc_status.to_status(status))


def operation(name, context):
    last = name.rsplit("/", 1)[-1]
    if last.startswith("missing"):
        not_found(context, name)
    while last.startswith("slow") and context.is_active():
        time.sleep(0.01)
    return operations_pb2.Operation(name=name, done=last.endswith("done"))


def get_operation(request, context):
    return operation(request.name, context)


def list_operations(request, context):
    parent = request.name.removesuffix("/operations")
    names = [f"{parent}/operations/job-{number}" for number in (1, 2)]
    return operations_pb2.ListOperationsResponse(operations=[operations_pb2.Operation(name=name) for name in names])


def empty(request, context):
    operation(request.name, context)
    return empty_pb2.Empty()


def get_cluster(request, context):
    return clusters.Cluster(
        project_id=request.project_id, cluster_name=request.cluster_name, labels={"region": request.region}
    )


def list_clusters(request, context):
    return clusters.ListClustersResponse(clusters=[clusters.Cluster(cluster_name=name) for name in ("one", "two")])


def translate_text(request, context):
    translated = [translation_service.Translation(translated_text=text.upper()) for text in request.contents]
    return translation_service.TranslateTextResponse(translations=translated)


def check(request, context):
    return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


def upload(parts, context):
    sizes = [len(part.data) for part in parts]
    return streams_pb2.Summary(parts=len(sizes), bytes=sum(sizes))


def watch(request, context):
    for number in range(request.count):
        yield streams_pb2.Part(name=f"{request.name}/{number}", data=b"x" * request.size)
    operation(request.name, context)
    context.set_trailing_metadata((("x-parts", str(request.count)), ("x-parts-bin", b"\0\xff")))


def chat(parts, context):
    context.send_initial_metadata((("x-chat", "begun"),))
    yield from parts


OPERATIONS = "/google.longrunning.Operations/"
STREAMS = "/opgate.test.v1.Streams/"
# A function, what it takes, and whether requests and answers are streams.
METHODS = {
    OPERATIONS + "GetOperation": (get_operation, operations_pb2.GetOperationRequest, False, False),
    OPERATIONS + "ListOperations": (list_operations, operations_pb2.ListOperationsRequest, False, False),
    OPERATIONS + "CancelOperation": (empty, operations_pb2.CancelOperationRequest, False, False),
    OPERATIONS + "DeleteOperation": (empty, operations_pb2.DeleteOperationRequest, False, False),
    OPERATIONS + "WaitOperation": (get_operation, operations_pb2.WaitOperationRequest, False, False),
    "/google.cloud.dataproc.v1.ClusterController/GetCluster":
        (get_cluster, clusters.GetClusterRequest.pb(), False, False),
    "/google.cloud.dataproc.v1.ClusterController/ListClusters":
        (list_clusters, clusters.ListClustersRequest.pb(), False, False),
    "/google.cloud.translation.v3.TranslationService/TranslateText":
        (translate_text, translation_service.TranslateTextRequest.pb(), False, False),
    "/grpc.health.v1.Health/Check": (check, health_pb2.HealthCheckRequest, False, False),
    STREAMS + "Upload": (upload, streams_pb2.Part, True, False),
    STREAMS + "Watch": (watch, streams_pb2.WatchRequest, False, True),
    STREAMS + "Chat": (chat, streams_pb2.Part, True, True),
}


def serialized(message):
    return message.SerializeToString() if hasattr(message, "SerializeToString") else type(message).serialize(message)


def handler(method):
    """What grpc is to do with a method. Messages come as their bytes, so that these can be told."""
    run, message, many_requests, many_answers = METHODS[method]

    def asked(request, call):
        if many_requests:
            return (message.FromString(call.take(part)) for part in request)
        return message.FromString(call.take(request))

    def one(request, context):
        call = Call(context, method)
        answer = run(asked(request, call), context)
        call.end = "answered" if context.is_active() else "cancelled"
        return serialized(answer)

    def many(request, context):
        call = Call(context, method)
        for answer in run(asked(request, call), context):
            yield serialized(answer)
        call.end = "answered" if context.is_active() else "cancelled"

    behaviour = many if many_answers else one
    kind = f"{'stream' if many_requests else 'unary'}_{'stream' if many_answers else 'unary'}"
    return getattr(grpc, f"{kind}_rpc_method_handler")(behaviour)


class Handlers(grpc.GenericRpcHandler):
    def service(self, details):
        return handler(details.method) if details.method in METHODS else None


server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=64),
    handlers=[Handlers()],
    options=[("grpc.max_receive_message_length", 16 << 20), ("grpc.so_reuseport", 0)],
)
bound = server.add_insecure_port(f"127.0.0.1:{port}")
server.start()
print(json.dumps({"port": bound}), flush=True)
sys.stdin.read()
os._exit(0)
