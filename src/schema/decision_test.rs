//! The files below `tests/`: decision tests, which `opgate test` runs.

use super::shape::Shape::{Any, List, Named, Text};
use super::shape::{Mapping, Shape, key, required};

/// A file of tests.
pub(super) const TESTS: Shape = List(&Shape::Mapping(&TEST));

const TEST: Mapping = Mapping::ours(
    "test",
    &[
        required("name", Text, "Which caller may do what, in a few words."),
        key(
            "principal",
            Text,
            "The caller: `user:`, `serviceAccount:` or `principal://`. Without it, a caller without a credential.",
        ),
        key(
            "claims",
            Named("the name of a claim", &Any),
            "In place of `principal`: claims that an issuer of the configuration maps to one.",
        ),
        key("scopes", List(&Text), "The scopes of the token. By default, those that the method asks for."),
        key("call", Text, "An HTTP method, and a path or a URL."),
        key("method", Text, "In place of `call`, with `resource`: the full name of a method."),
        key("resource", Text, "The resource that `method` is called on."),
        key(
            "grpc",
            Text,
            "In place of `call`, with `message`: a method over gRPC, `package.Service/Method`.",
        ),
        key("message", Any, "The request message of `grpc`, in the JSON of protobuf."),
        key("host", Text, "The host, if the path alone does not determine it."),
        key("time", Text, "When, in RFC 3339. Needed if a condition makes the test depend on it."),
        key("origin", Shape::Mapping(&ORIGIN), "Where the caller is."),
        required("expect", Text, "`allowed`, `denied`, or the reason of the refusal."),
        key("rule", Text, "The file, or `file:line`, of the rule that decides."),
    ],
);

const ORIGIN: Mapping = Mapping::ours("origin", &[required("ip", Text, "The address of the client.")]);
