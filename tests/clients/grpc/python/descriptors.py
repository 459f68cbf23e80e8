"""Writes what protoc makes of the services: `streams_pb2.py` and a descriptor set of each service, NAME.binpb.

The arguments are the folder to write to, and the `node_modules` whose packages bring Google's proto files.
"""

import pathlib
import sys

import grpc_tools
from grpc_tools import protoc

to, modules = map(pathlib.Path, sys.argv[1:])
PACKAGES = ["@google-cloud/dataproc", "@google-cloud/translate", "google-gax"]
FOLDERS = [
    pathlib.Path(__file__).resolve().parent,
    *(modules / package / "build/protos" for package in PACKAGES),
    # Those of google.protobuf.
    pathlib.Path(grpc_tools.__file__).parent / "_proto",
]


def run(*arguments):
    if protoc.main(["protoc", *(f"-I{folder}" for folder in FOLDERS), *arguments]) != 0:
        sys.exit(1)


run(f"--python_out={to}", "streams.proto")
SETS = {
    "streams": "streams.proto",
    "dataproc": "google/cloud/dataproc/v1/clusters.proto",
    "translation": "google/cloud/translate/v3/translation_service.proto",
}
for name, file in SETS.items():
    run("--include_imports", f"--descriptor_set_out={to / name}.binpb", file)
