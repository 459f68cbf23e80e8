"""Calls of Google's Python clients over gRPC, their default transport. The argument is the file of a plan: hosts and tokens.

Prints a line of JSON for each: its row, and the answer or what the exception says. TLS has the roots of
GRPC_DEFAULT_SSL_ROOTS_FILE_PATH; with `insecure` in the plan, calls go without TLS.
"""

import json
import sys

import grpc
from google.api_core import exceptions
from google.api_core.operations_v1 import OperationsClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import dataproc_v1, translate_v3
from google.longrunning import operations_pb2
from google.oauth2.credentials import Credentials
from google.cloud.dataproc_v1.services.cluster_controller.transports import ClusterControllerGrpcTransport
from google.cloud.translate_v3.services.translation_service.transports import TranslationServiceGrpcTransport

with open(sys.argv[1]) as file:
    PLAN = json.load(file)
LOCATION = "projects/demo/regions/us-central1"
JOB = f"{LOCATION}/operations/job-1"
# Over TLS, credentials belong to the channel. Without it, a client sends them itself.
CLEAR = PLAN.get("insecure", False)


def row(name, call, told=lambda answer: None):
    """Makes a call, and prints what came of it."""
    try:
        line = {"answer": told(call())}
    except exceptions.GoogleAPICallError as error:
        line = failed(error)
    except grpc.RpcError as error:
        line = failed(exceptions.from_grpc_error(error))
    print(json.dumps({"row": name, **line}), flush=True)


def failed(error):
    return {
        "code": error.grpc_status_code.name,
        "message": error.message,
        "reason": error.reason,
        "domain": error.domain,
        "metadata": dict(error.metadata or {}),
    }


def client(kind, transport, host, token):
    if CLEAR:
        return kind(transport=transport(channel=grpc.insecure_channel(host)))
    credentials = Credentials(token) if token else AnonymousCredentials()
    return kind(credentials=credentials, client_options={"api_endpoint": host})


def with_token(token):
    """What a call without TLS is given beside its request: a new list for each, since the clients append to it."""
    return lambda: [("authorization", f"Bearer {token}")] if CLEAR and token else []


def dataproc(token, host="dataproc"):
    made = client(dataproc_v1.ClusterControllerClient, ClusterControllerGrpcTransport, PLAN[host], token)
    return made, OperationsClient(made.transport.grpc_channel), with_token(token)


def translation(token):
    made = client(translate_v3.TranslationServiceClient, TranslationServiceGrpcTransport, PLAN["translation"], token)
    return made, with_token(token)


def names(operations):
    return [operation.name for operation in operations]


def allowed(token):
    clusters, operations, metadata = dataproc(token)
    row("get", lambda: operations.get_operation(JOB, metadata=metadata()), lambda found: found.name)
    row("list", lambda: operations.list_operations(f"{LOCATION}/operations", "", metadata=metadata()), names)
    row("cancel", lambda: operations.cancel_operation(JOB, metadata=metadata()))
    row("delete", lambda: operations.delete_operation(JOB, metadata=metadata()))
    cluster = {"project_id": "demo", "region": "us-central1", "cluster_name": "one"}
    row("ordinary", lambda: clusters.get_cluster(cluster, metadata=metadata()), lambda found: found.cluster_name)
    listed = {"project_id": "demo", "region": "us-central1"}
    row("ordinary list", lambda: clusters.list_clusters(listed, metadata=metadata()),
        lambda found: [cluster.cluster_name for cluster in found])
    texts, metadata = translation(token)
    # This client gives the bytes of the answer to a wait.
    row("wait", lambda: texts.wait_operation({"name": "projects/demo/locations/l/operations/job-1"}, metadata=metadata()),
        lambda found: operations_pb2.Operation.FromString(found).name)
    text = {"parent": "projects/demo/locations/l", "contents": ["hi"], "target_language_code": "de"}
    row("translate", lambda: texts.translate_text(text, metadata=metadata()),
        lambda found: [translation.translated_text for translation in found.translations])


def refused(tokens):
    rows = [("no token", None), ("expired", "expired"), ("bad token", "forged"), ("no scope", "narrow"),
            ("no permission", "stranger")]
    for name, token in rows:
        _, operations, metadata = dataproc(token and tokens[token])
        row(name, lambda: operations.get_operation(JOB, metadata=metadata()))
    clusters, operations, metadata = dataproc(tokens["good"])
    row("another project", lambda: operations.cancel_operation(JOB.replace("demo", "other"), metadata=metadata()))
    row("no name", lambda: operations.get_operation("", metadata=metadata()))
    other = {"project_id": "other", "region": "us-central1", "cluster_name": "one"}
    row("another cluster", lambda: clusters.get_cluster(other, metadata=metadata()))
    row("unimplemented", lambda: clusters.diagnose_cluster(other | {"project_id": "demo"}, metadata=metadata()))
    texts, metadata = translation(tokens["good"])
    row("unknown method", lambda: texts.get_supported_languages({"parent": "projects/demo"}, metadata=metadata()))
    row("not found", lambda: operations.get_operation(f"{LOCATION}/operations/missing-1", metadata=metadata()))
    row("deadline", lambda: operations.get_operation(f"{LOCATION}/operations/slow-1", timeout=0.5, retry=None,
                                                     metadata=metadata()))
    for name, host in (("late backend", "late"), ("no backend", "dead")):
        _, operations, metadata = dataproc(tokens["good"], host)
        row(name, lambda: operations.get_operation(f"{LOCATION}/operations/slow-2", retry=None, metadata=metadata()))


allowed(PLAN["tokens"]["good"])
refused(PLAN["tokens"])
