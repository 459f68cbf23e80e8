#!/usr/bin/env python3
"""The Helm chart: linted and rendered by Helm itself (its library, from PyPI), checked against the schemas of Kubernetes, and
what it renders is what a gate runs with, mounted and updated as the kubelet does it.

    packaging/tests/chart.py PROGRAM      (make chart)
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import helm_python as helm
import kubernetes_validate
import yaml

from machine import ROOT, run
from pages import block, commands
from probe import free_port, status, until
from tokens import AUDIENCE, ISSUER, Issuer

CHART = ROOT / "packaging/helm/opgate"
VERSIONS = ["1.30", "1.34"]


def values(program, directory):
    """What an operator gives: the tree that `opgate init` writes, and who signs tokens."""
    run(program, "init", directory / "tree", "--service", "api.example.com")
    tree = directory / "tree/policies"
    policies = {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*.yaml")}
    assert len(policies) >= 7
    return {
        "config": {
            "upstreams": {"api": {"endpoints": ["127.0.0.1:9000"]}},
            "services": {"api": {"hosts": ["api.example.com"], "upstream": "api"}},
            "issuers": {"login": {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"file": "keys.jwks.json"}}},
        },
        "policies": policies,
        "secrets": ["opgate-keys"],
    }


EVERYTHING = {
    "autoscaling": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {
        "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "monitoring": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
    },
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "nodeSelector": {"e": "f"},
    "tolerations": [{"key": "k", "operator": "Exists"}], "priorityClassName": "high", "imagePullSecrets": [{"name": "pull"}],
    "extraEnv": [{"name": "N", "value": "v"}], "extraVolumes": [{"name": "x", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "x", "mountPath": "/x"}], "serviceAccount": {"annotations": {"a": "b"}},
}


def render(given):
    """The documents by kind and name, each good in every version of Kubernetes that is tried."""
    chart = helm.Chart.load(CHART)
    chart.validate_schema(chart.merge_values(given))
    found = {}
    for path, text in chart.render(given, name="gate", namespace="api").items():
        if path.endswith(".txt"):
            continue
        for document in yaml.safe_load_all(text):
            if document is None:
                continue
            kind = document["kind"]
            if kind != "ServiceMonitor":      # a custom resource: Kubernetes has no schema of it
                for version in VERSIONS:
                    kubernetes_validate.validate(document, version, strict=True)
            key = (kind, document["metadata"]["name"])
            assert key not in found, key
            found[key] = document
    return found


def refused(given, what):
    try:
        render(given)
    except (helm.HelmRenderError, helm.HelmValuesError) as error:
        assert what in str(error), f"{what!r} is not in {error}"
        return
    raise AssertionError(f"accepted: {what}")


def secure(deployment):
    """What the pod may not do, and how it ends."""
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= pause + 30
    assert all(mount["readOnly"] for mount in container["volumeMounts"] if mount["name"] != "x")


def fits(documents):
    """Selectors find the pods, and ports have the names that others use."""
    pod = documents["Deployment", "gate-opgate"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    for (kind, name), document in documents.items():
        spec = document.get("spec", {})
        selector = {"Service": lambda: spec["selector"], "Deployment": lambda: spec["selector"]["matchLabels"],
                    "PodDisruptionBudget": lambda: spec["selector"]["matchLabels"],
                    "NetworkPolicy": lambda: spec["podSelector"]["matchLabels"]}.get(kind, dict)()
        assert selector.items() <= labels.items(), (kind, name)
        if kind == "Service":
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        if kind == "ServiceMonitor":
            admin = documents["Service", "gate-opgate-admin"]
            assert spec["selector"]["matchLabels"].items() <= admin["metadata"]["labels"].items()
            clients = documents["Service", "gate-opgate"]["metadata"]["labels"]
            assert not spec["selector"]["matchLabels"].items() <= clients.items(), "it scrapes the port of clients"
            assert spec["endpoints"][0]["port"] in {port["name"] for port in admin["spec"]["ports"]}


def mount(documents, secret, directory):
    """Writes the pod's volume of configuration as the kubelet does: files below a directory named for the time, one link to it
    that is replaced, and links into it."""
    volumes = {volume["name"]: volume for volume in
               documents["Deployment", "gate-opgate"]["spec"]["template"]["spec"]["volumes"]}
    at = directory / f"..{time.time_ns()}"
    for source in volumes["configuration"]["projected"]["sources"]:
        if "secret" in source:
            files = {path: text for path, text in secret.items()}
        else:
            data = documents["ConfigMap", source["configMap"]["name"]]["data"]
            items = source["configMap"].get("items")
            files = {item["path"]: data[item["key"]] for item in items} if items else data
        for path, text in files.items():
            (at / path).parent.mkdir(parents=True, exist_ok=True)
            (at / path).write_text(text)
    before = os.readlink(directory / "..data") if (directory / "..data").is_symlink() else None
    os.symlink(at.name, directory / "..data_tmp")
    os.rename(directory / "..data_tmp", directory / "..data")
    for entry in at.iterdir():
        if not (directory / entry.name).is_symlink():
            os.symlink(f"..data/{entry.name}", directory / entry.name)
    if before:
        run("rm", "-rf", directory / before)


def serve(program, given, directory):
    """A gate with the rendered configuration: probes, and an update of the ConfigMap that takes access away."""
    issuer = Issuer(directory)
    mounted = directory / "etc"
    mounted.mkdir()
    secret = {"keys.jwks.json": issuer.jwks()}
    port, admin, explain, backend = (free_port() for _ in range(4))
    given = json.loads(json.dumps(given))
    given["config"]["listeners"] = [{"address": f"0.0.0.0:{port}"}]
    given["service"] = {"targetPort": port}
    given["config"]["admin"] = {"address": f"0.0.0.0:{admin}", "explain": {"address": f"127.0.0.1:{explain}"}}
    given["config"]["upstreams"] = {"api": {"endpoints": [f"127.0.0.1:{backend}"]}}
    documents = render(given)
    mount(documents, secret, mounted)
    container = documents["Deployment", "gate-opgate"]["spec"]["template"]["spec"]["containers"][0]
    arguments = [argument.replace("/etc/opgate", str(mounted)) for argument in container["args"]]
    ports = {found["name"]: found["containerPort"] for found in container["ports"]}
    assert ports == {"http": port, "admin": admin}, ports
    run(program, "check", *arguments[1:])
    run(program, "test", mounted / "policies")
    answering = subprocess.Popen([sys.executable, "-c", (
        "import http.server, sys\n"
        "class Backend(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.send_response(200); self.send_header('Content-Length', '0'); self.end_headers()\n"
        f"http.server.ThreadingHTTPServer(('127.0.0.1', {backend}), Backend).serve_forever()")], stderr=subprocess.DEVNULL)
    gate = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=open(directory / "log", "w"))
    try:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            until(f"{probe} {path}", lambda: status(admin, path, host="10.1.2.3:9901") == 200)
        call = "/v1/projects/demo/operations/o"
        until("bob is allowed", lambda: status(port, call, issuer.tokens["bob"]) == 200)
        # The policy without bob's binding.
        path = "allow/projects/demo.yaml"
        given["policies"][path] = given["policies"][path].replace("user:bob@example.com", "user:eve@example.com")
        changed = render(given)
        pods = [found["Deployment", "gate-opgate"]["spec"]["template"] for found in (documents, changed)]
        assert pods[0] == pods[1], "a change of policy restarts the gates"
        mount(changed, secret, mounted)
        until("bob is denied", lambda: status(port, call, issuer.tokens["bob"]) == 403)
        gate.terminate()
        assert gate.wait(40) == 0
    except BaseException:
        print((directory / "log").read_text())
        raise
    finally:
        gate.kill()
        answering.kill()


def guide(program, directory):
    """The commands and the values of the guide, and the policy tree in them."""
    given = yaml.safe_load(block("kubernetes.md", "yaml values"))
    lint, install = (line.split(" ") for line in commands("kubernetes.md", "sh helm"))
    assert lint == ["helm", "lint", str(CHART.relative_to(ROOT)), "--strict", "-f", "values.yaml"], lint
    assert install[:-1] == ["helm", "upgrade", "--install", "gate", str(CHART.relative_to(ROOT)), "--namespace", "api",
                            "-f", "values.yaml", "--set"], install
    given.update(helm.parse_set_string(install[-1]))
    report = helm.lint(CHART, given, strict=True)
    assert not report["errors"], report
    documents = render(given)
    fits(documents)
    assert documents["Deployment", "gate-opgate"]["spec"]["replicas"] == 3
    mounted = directory / "guide"
    mounted.mkdir()
    mount(documents, {}, mounted)
    # There is no such backend here: its name is not looked up.
    run(program, "check", "--config", mounted / "opgate.yaml", "--set", 'upstreams.api.endpoints=["127.0.0.1:9000"]')


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        given = values(program, directory)
        report = helm.lint(CHART, given, strict=True, kube_version="v1.30.0")
        # An icon is recommended (severity 1); nothing else may be said.
        assert not report["errors"] and all(message["severity"] <= 1 for message in report["messages"]), report
        documents = render(given)
        fits(documents)
        secure(documents["Deployment", "gate-opgate"])
        ingress = documents["NetworkPolicy", "gate-opgate"]["spec"]["ingress"]
        assert [rule["ports"][0]["port"] for rule in ingress] == ["http"], "the admin port is open without being asked for"
        everything = render({**given, **EVERYTHING})
        fits(everything)
        secure(everything["Deployment", "gate-opgate"])
        assert "replicas" not in everything["Deployment", "gate-opgate"]["spec"], "the autoscaler and the chart both decide"
        volume = {**given, "policies": None, "policiesVolume": {"persistentVolumeClaim": {"claimName": "policies"}}}
        config = yaml.safe_load(render(volume)["ConfigMap", "gate-opgate"]["data"]["opgate.yaml"])
        assert config["policy"]["directory"] == "/var/lib/opgate/policies"

        # Blanks and comments at the beginning of a file, and at its end, are the file's own.
        odd = {"groups.yaml": "   # Nothing.\n\na@example.com: []\n \n", "allow/projects/p.yaml": "\n\n{}"}
        found = render({**given, "policies": odd})["ConfigMap", "gate-opgate-policies"]["data"]
        assert sorted(found.values()) == sorted(odd.values()), found

        def config(**more):
            return {**given, "config": {**given["config"], **more}}

        assert render(config(limits={"drain_delay": "9000ms"}))
        refused(config(limits={"drain_delay": "10s"}), "terminationGracePeriodSeconds has to be more than 45")
        refused(config(limits={"grace_period": "1m"}), "terminationGracePeriodSeconds has to be more than 65")
        refused(config(listeners=[{"address": "unix:/tmp/gate.sock"}, {"address": "[::]:8081"}]), "no listener")
        refused(config(admin={"address": "127.0.0.1:9901"}), "the kubelet asks from outside the pod")

        refused({**given, "policies": {}}, "give the policy tree")
        refused({**given, "policiesVolume": {"emptyDir": {}}}, "not both")
        refused({**given, "policies": {"../x.yaml": "a: 1"}}, "../x.yaml")
        refused({**given, "replicas": "two"}, "replicas")
        refused({**given, "replica": 2}, "replica")
        refused({"policies": given["policies"]}, "upstreams")
        guide(program, directory)
        serve(program, given, directory)
        print(f"chart: {len(everything)} documents, rendered by Helm {helm.helm_sdk_version()}, good in Kubernetes {', '.join(VERSIONS)}: "
              + ", ".join(sorted(f"{kind} {name}" for kind, name in everything)))


if __name__ == "__main__":
    main()
