"""The route table of ../policies, served by Flask as it comes: routes on the decoded path (PEP 3333), by case, ordered by
Werkzeug's own weights. The method may come from a header, as Flask's documentation shows it; a body without a type is
read as a form.

Writes a line of JSON for each request to standard output.
"""

import json
import sys

from flask import Flask, request
from urllib.parse import parse_qs

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "REPORT"]

STREAMS = ["things.v1.Things.Upload", "things.v1.Things.Hook"]

server = Flask(__name__)


class MethodOverride:
    """https://flask.palletsprojects.com/en/stable/patterns/methodoverrides/"""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, environ, start_response):
        for name in ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE"):
            override = environ.get(name, "").upper()
            if override:
                environ["REQUEST_METHOD"] = override
        return self.inner(environ, start_response)


def tell(ran, resource, length=0):
    line = json.dumps({
        "id": request.headers.get("X-Request-Id", ""),
        "case": request.headers.get("User-Agent", ""),
        "http": request.method,
        "ran": ran,
        "resource": resource,
        "headers": " ".join(name.lower() for name, _ in request.headers),
        "length": length,
    })
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return line, 200 if ran else 404, {"Content-Type": "application/json"}


def said(field, body):
    """What a handler takes for the resource: the body first, then the query."""
    mimetype = request.mimetype
    if mimetype in ("", "application/x-www-form-urlencoded"):
        form = parse_qs(body.decode("utf-8", "replace"))
        if field in form:
            return form[field][0]
    if mimetype == "application/json" and body:
        fields = request.get_json()
        if isinstance(fields, dict) and isinstance(fields.get(field), str):
            return fields[field]
    return request.args.get(field)


def route(rule, method, resource, http="GET", field="name"):
    def view(**params):
        body = request.get_data()
        path = resource.format(**params)
        # What takes any bytes (`body: stream` of the iam file) reads nothing into them.
        own = path if method in STREAMS else said(field, body) or path
        return tell(method, own, len(body))

    methods = METHODS if http == "*" else [http]
    server.add_url_rule(rule, f"{method} {rule}", view, methods=methods, provide_automatic_options=False)


THING = "projects/{project}/things/{thing}"
FILES = "projects/{project}/files"
FILE = "projects/{project}/files/{rest}"
TRANSFER = "projects/{project}/transferOperations/{transfer}"

route("/v1/projects/<project>/things/<thing>:exportSecrets", "things.v1.Things.Export", THING)
route("/v1/projects/<project>/things/<thing>:testIamPermissions", "things.v1.Things.TestIamPermissions", THING, "POST", "resource")
route("/v1/projects/<project>/things/<thing>:purge", "things.v1.Things.Purge", THING, "POST")
route("/v1/projects/<project>/things/root", "things.v1.Things.GetRoot", "projects/{project}/things/root")
route("/v1/projects/<project>/things/audit", "things.v1.Things.GetAudit", "projects/{project}/things/audit")
route("/v1/projects/<project>/things/vault", "vault.v1.Vaults.GetThing", "projects/{project}/things/vault")
route("/v1/projects/<project>/things/<thing>", "things.v1.Things.Get", THING)
route("/v1/projects/<project>/things/<thing>", "things.v1.Things.Delete", THING, "DELETE")
route("/v1/projects/<project>/things/<thing>", "things.v1.Things.Upload", THING, "PUT")
route("/v1/projects/<project>/hooks/<hook>", "things.v1.Things.Hook", "projects/{project}/hooks/{hook}", "*")
# `**` of the templates takes no segment at all, too.
route("/v1/projects/<project>/files/acl", "things.v1.Files.ReadAcl", FILES)
route("/v1/projects/<project>/files", "things.v1.Files.Read", FILES)
route("/v1/projects/<project>/files/<path:rest>/acl", "things.v1.Files.ReadAcl", FILE)
route("/v1/projects/<project>/files/<path:rest>", "things.v1.Files.Read", FILE)
route("/v1/projects/<project>/transferOperations/<transfer>:cancel", "things.v1.Transfers.Cancel", TRANSFER, "POST")
route("/v1/projects/<project>/transferOperations/<transfer>", "things.v1.Transfers.Get", TRANSFER)
route("/v1/projects/<project>/vaults/<vault>", "vault.v1.Vaults.Get", "projects/{project}/vaults/{vault}")
route("/v1/projects/<project>/<collection>/<item>", "things.v1.Items.Get", "projects/{project}/{collection}/{item}")


@server.errorhandler(404)
@server.errorhandler(405)
def nowhere(_):
    return tell("", "")


app = MethodOverride(server)
