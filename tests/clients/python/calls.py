"""Calls of googleapiclient and of api-core's operations client over REST: URL, token. Prints the answer to each."""

import json
import sys

from google.api_core import exceptions
from google.api_core.operations_v1 import AbstractOperationsClient
from google.api_core.operations_v1.transports.rest import OperationsRestTransport
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError

url, token = sys.argv[1:]
LOCATION = "projects/demo/locations/us-central1"
OPERATION = f"{LOCATION}/operations/train-1"
NAME = {"type": "string", "required": True, "location": "path", "pattern": "^projects/.*$"}
QUERY = {"type": "string", "location": "query"}


def method(http_method, path, query=(), body=False):
    described = {
        "id": f"companion.{path}",
        "httpMethod": http_method,
        "path": path,
        "parameters": {"name": NAME, **{key: QUERY for key in query}},
        "parameterOrder": ["name"],
        "response": {"$ref": "Any"},
    }
    return {**described, "request": {"$ref": "Any"}} if body else described


DOCUMENT = {
    "kind": "discovery#restDescription",
    "name": "companion",
    "version": "v1",
    "rootUrl": url,
    "baseUrl": url,
    "servicePath": "",
    "batchPath": "batch",
    "parameters": {"alt": {"type": "string", "location": "query", "default": "json"}},
    "schemas": {"Any": {"id": "Any", "type": "object", "additionalProperties": {"type": "any"}}},
    "resources": {
        "operations": {
            "methods": {
                "get": method("GET", "v1/{+name}"),
                "list": method("GET", "v1/{+name}/operations", query=["filter"]),
                "cancel": method("POST", "v1/{+name}:cancel", body=True),
            }
        }
    },
}

operations = build_from_document(DOCUMENT, credentials=Credentials(token)).operations()
print("get", operations.get(name=OPERATION).execute()["name"])
# Beyond 2,048 characters: sent as a POST with `X-HTTP-Method-Override: GET`.
found = operations.list(name=LOCATION, filter=" " * 3000 + "done=false").execute()["operations"]
print("list", len(found) > 0)
print("cancel", json.dumps(operations.cancel(name=OPERATION, body={}).execute()))
try:
    operations.cancel(name=OPERATION, body={"foo": 1}).execute()
except HttpError as error:
    print("mistake", error.status_code, error.reason)

HTTP_OPTIONS = {
    "google.longrunning.Operations.CancelOperation": [
        {"method": "post", "uri": "/v1/{name=projects/*/locations/*/operations/*}:cancel", "body": "*"}
    ],
}
client = AbstractOperationsClient(
    transport=OperationsRestTransport(
        host=url.rstrip("/"), credentials=Credentials(token), http_options=HTTP_OPTIONS, path_prefix="v1"
    )
)
print("core cancel", client.cancel_operation(OPERATION))
try:
    client.cancel_operation(OPERATION.replace("demo", "other"))
except exceptions.Forbidden as error:
    print("core denied", error.reason, error.domain)
