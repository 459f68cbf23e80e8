"""What a run needs before the first proxy starts: keys, certificates, tokens, policies, ports."""

import base64
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

ISSUER = "https://issuer.bench.localhost"
AUDIENCE = "https://opgate.bench.localhost"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
HOST = "operations.bench.localhost"
STORE_HOST = "store.bench.localhost"
CALLERS = 1000
EMAIL = "user-{}@example.com"
STRANGER = "stranger-{}@example.com"
# Files are made again after this many seconds. Tokens are good for twice as long.
KEPT = 7 * 24 * 3600


def run(*command, **options):
    """Runs a program to its end, and gives what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def error_body(code, status, message):
    return json.dumps({"error": {"code": code, "message": message, "status": status}})


class Setting:
    """The directory of a run. `tokens` is how many there are to send once each."""

    def __init__(self, directory, tool, tokens):
        self.directory, self.tool, self.tokens = Path(directory).resolve(), tool, tokens
        self.backend = free_port()

    def path(self, name):
        return self.directory / name

    def prepare(self):
        stamp = self.path("made")
        wanted = f"{self.tokens} {AUDIENCE} {HOST} {SCOPE}"
        kept = stamp.exists() and time.time() - stamp.stat().st_mtime < KEPT
        if not (kept and stamp.read_text() == wanted):
            self.directory.mkdir(parents=True, exist_ok=True)
            stamp.unlink(missing_ok=True)
            self.make_keys()
            self.make_certificates()
            self.make_tokens()
            stamp.write_text(wanted)
        self.write_policies()
        self.write_grants()

    # Keys and certificates.

    def make_keys(self):
        key = self.path("token-key.pem")
        run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
        run("openssl", "pkey", "-in", key, "-pubout", "-out", self.path("public.pem"))
        modulus = run("openssl", "rsa", "-in", key, "-noout", "-modulus").strip().split("=")[1]
        n = base64.urlsafe_b64encode(bytes.fromhex(modulus)).decode().rstrip("=")
        jwk = {"kty": "RSA", "kid": "bench", "use": "sig", "alg": "RS256", "n": n, "e": "AQAB"}
        self.path("keys.jwks.json").write_text(json.dumps({"keys": [jwk]}))

    def make_certificates(self):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        ca, ca_key, ask = self.path("ca.pem"), self.path("ca-key.pem"), self.path("site.csr")
        site, site_key, names = self.path("site.pem"), self.path("site-key.pem"), self.path("names.cnf")
        names.write_text(f"subjectAltName=DNS:{HOST},DNS:{STORE_HOST}\nbasicConstraints=CA:FALSE\n")
        run("openssl", "req", "-x509", *curve, "-days", "30", "-subj", "/CN=bench CA", "-keyout", ca_key, "-out", ca)
        run("openssl", "req", *curve, "-subj", f"/CN={HOST}", "-keyout", site_key, "-out", ask)
        signed = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "30", "-extfile", names]
        run("openssl", "x509", "-req", "-in", ask, *signed, "-out", site)
        self.path("site-both.pem").write_text(site.read_text() + site_key.read_text())

    # Tokens.

    def make_tokens(self):
        now = int(time.time())
        good = {"iss": ISSUER, "aud": AUDIENCE, "scope": SCOPE, "email_verified": True}
        good |= {"iat": now - 60, "exp": now + 2 * KEPT}
        self.sign("known.tokens", good, CALLERS, EMAIL)
        self.sign("once.tokens", good, self.tokens, EMAIL)
        self.sign("strangers.tokens", good, CALLERS, STRANGER)
        forged = [forge(token) for token in self.path("known.tokens").read_text().split()]
        self.path("forged.tokens").write_text("\n".join(forged) + "\n")
        # One of each kind that must not pass.
        self.sign("expired.tokens", good | {"iat": now - 7200, "exp": now - 3600}, 1, EMAIL)
        self.sign("other-audience.tokens", good | {"aud": "https://other.bench.localhost"}, 1, EMAIL)
        self.sign("other-issuer.tokens", good | {"iss": "https://other.bench.localhost"}, 1, EMAIL)
        self.sign("other-scope.tokens", good | {"scope": "https://www.googleapis.com/auth/drive"}, 1, EMAIL)

    def sign(self, name, claims, count, email):
        what = ["--claims", json.dumps(claims), "--count", count, "--callers", min(count, CALLERS), "--email", email]
        run(self.tool, "tokens", "--key", self.path("token-key.pem"), "--kid", "bench", *what, "--to", self.path(name))

    def first_token(self, name):
        with self.path(name).open() as tokens:
            return tokens.readline().strip()

    # Who may do what: the same for every proxy.

    def write_policies(self):
        """The shipped policies, a service with large bodies, and a binding of all callers on projects/demo."""
        to = self.path("policies")
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(ROOT / "policies", to)
        # They are tests of the shipped bindings.
        shutil.rmtree(to / "tests", ignore_errors=True)
        for name in ("store.yaml", "store.iam.yaml"):
            (to / "services" / name).write_text(self.fill(name, {}))
        role = "organizations/7/roles/benchStore"
        included = ["store.objects.create", "store.objects.get"]
        text = json.dumps({"name": role, "title": "Store", "includedPermissions": included})
        (to / "roles" / "bench-store.yaml").write_text(text)
        members = [f"user:{EMAIL.format(number)}" for number in range(CALLERS)]
        roles = ["organizations/7/roles/operationsCanceller", role]
        policy = {"version": 1, "bindings": [{"role": role, "members": members} for role in roles]}
        (to / "allow" / "projects" / "demo.yaml").write_text(json.dumps(policy))

    def write_grants(self):
        callers = [EMAIL.format(number) for number in range(CALLERS)]
        grants = [f"{caller}|demo|{may}" for caller in callers for may in ("cancel", "create", "get")]
        self.path("grants.map").write_text("".join(f"{grant} 1\n" for grant in grants))
        self.path("grants.nginx").write_text("".join(f'"{grant}" 1;\n' for grant in grants))

    def fill(self, name, more):
        """A file of configs/ with its placeholders filled."""
        allow = {"@type": "type.googleapis.com/envoy.config.rbac.v3.Action", "name": "grant", "action": "ALLOW"}
        granted = {"action": {"name": "action", "typed_config": allow}}
        values = {
            "DIR": self.directory,
            "BACKEND": self.backend,
            "ISSUER": ISSUER,
            "AUDIENCE": AUDIENCE,
            "SCOPE": SCOPE,
            "HOST": HOST,
            "STORE_HOST": STORE_HOST,
            "UNAUTHENTICATED": error_body(401, "UNAUTHENTICATED", "The request has no valid access token."),
            "DENIED": error_body(403, "PERMISSION_DENIED", "The caller has no permission on the resource."),
            "NOT_FOUND": error_body(404, "NOT_FOUND", "There is no such method."),
            "BAD_BODY": error_body(400, "INVALID_ARGUMENT", "The method takes an empty message."),
            "GRANTED": json.dumps({EMAIL.format(number): granted for number in range(CALLERS)}),
        }
        text = (HERE / "configs" / name).read_text()
        for key, value in (values | more).items():
            text = text.replace(f"@{key}@", str(value))
        return text


def forge(token):
    """The token with another signature of the same length."""
    signed, signature = token.rsplit(".", 1)
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return f"{signed}.{signature[:middle]}{other}{signature[middle + 1:]}"
