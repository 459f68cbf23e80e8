"""Tokens of the default configuration's issuer, made by opgate-dev."""

import pathlib

from machine import TARGET, run

ISSUER, AUDIENCE = "https://login.example.com", "https://api.example.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def program(name):
    """The program for development, of whichever profile has been built."""
    for profile in ("debug", "soak", "release"):
        if (TARGET / profile / name).exists():
            return TARGET / profile / name
    raise AssertionError(f"{name} has not been built: cargo build --bins")


def mint(key, email, new=False, expires="1h"):
    more = ["--new-key"] if new else []
    said = run(program("opgate-dev"), "token", "--key", key, *more, "--issuer", ISSUER, "--audience", AUDIENCE,
               "--email", email, "--scope", SCOPE, "--expires-in", expires)
    return next(line for line in said.splitlines() if line.startswith("ey"))


class Issuer:
    """Signing keys, and the tokens of the load's callers."""

    def __init__(self, directory):
        self.directory, self.tokens, self.keys = pathlib.Path(directory), {}, 0
        self.key = self.new_key()
        foreign = self.new_key()
        self.tokens = self.sign(self.key)
        self.tokens["forged"] = mint(foreign, "ana@example.com")

    def new_key(self):
        key = self.directory / f"key-{self.keys}.pem"
        self.keys += 1
        mint(key, "ana@example.com", new=True)
        return key

    def sign(self, key):
        return {name: mint(key, f"{name}@example.com") for name in ("ana", "bob")}

    def jwks(self, *keys):
        """The key set of these keys."""
        import json
        sets = [json.loads(pathlib.Path(f"{key}.jwks.json").read_text()) for key in keys or (self.key,)]
        return json.dumps({"keys": [key for found in sets for key in found["keys"]]})
