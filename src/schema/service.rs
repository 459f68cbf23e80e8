//! The files of a service below `services/`: `ID.yaml` and `ID.iam.yaml`.

use super::shape::Shape::{Boolean, Either, List, Number, Pattern, Text, Words};
use super::shape::{Mapping, Shape, key, required, unread};

/// google/api/service.proto, `Service`, in the order in which Google publishes it.
pub(super) const SERVICE: Mapping = Mapping::proto(
    "google_api_service",
    &[
        key("type", Words(&["google.api.Service"]), "The type of the message."),
        unread("config_version"),
        key("name", Text, "The DNS name of the service. Files of grpc-gateway have none."),
        unread("title"),
        unread("producer_project_id"),
        unread("id"),
        key("apis", Shape::Any, "The APIs that belong to the service, each with its `name`."),
        unread("types"),
        unread("enums"),
        unread("documentation"),
        key(
            "backend",
            Shape::Mapping(&BACKEND),
            "The deadlines of methods. Where the backend is, the configuration says.",
        ),
        key("http", Shape::Mapping(&HTTP), "Which requests call which method."),
        unread("quota"),
        key(
            "authentication",
            Shape::Mapping(&AUTHENTICATION),
            "Which scopes a method takes, and whose tokens.",
        ),
        unread("context"),
        unread("usage"),
        key("endpoints", List(&Shape::Mapping(&ENDPOINT)), "The hosts of the service."),
        unread("control"),
        unread("logs"),
        unread("metrics"),
        unread("monitored_resources"),
        unread("billing"),
        unread("logging"),
        unread("monitoring"),
        unread("system_parameters"),
        unread("source_info"),
        unread("publishing"),
        unread("auditing"),
    ],
);

/// google/api/http.proto, `Http`.
const HTTP: Mapping = Mapping::proto(
    "http",
    &[
        key(
            "rules",
            List(&Shape::Mapping(&HTTP_RULE)),
            "One rule for each method. Of two for one method, the last counts.",
        ),
        unread("fully_decode_reserved_expansion"),
    ],
);

/// google/api/backend.proto, `Backend`.
const BACKEND: Mapping = Mapping::proto(
    "backend",
    &[key(
        "rules",
        List(&Shape::Mapping(&BACKEND_RULE)),
        "Of the rules that select a method, the last counts.",
    )],
);

/// google/api/backend.proto, `BackendRule`.
const BACKEND_RULE: Mapping = Mapping::proto(
    "backend_rule",
    &[
        required(
            "selector",
            Text,
            "The full name of a method, `package.Service.*` or `*`; several with commas between them.",
        ),
        unread("address"),
        key(
            "deadline",
            Number,
            "Seconds for the whole exchange. It can shorten the `timeouts.total` of the upstream.",
        ),
        unread("min_deadline"),
        unread("operation_deadline"),
        unread("path_translation"),
        unread("jwt_audience"),
        unread("disable_auth"),
        unread("protocol"),
        unread("overrides_by_request_protocol"),
        unread("load_balancing_policy"),
    ],
);

const PATTERNS: &[&str] = &["get", "put", "post", "delete", "patch", "custom"];

/// google/api/http.proto, `HttpRule`.
const HTTP_RULE: Mapping = Mapping::proto(
    "http_rule",
    &[
        required("selector", Text, "The full name of the method."),
        key(
            "get",
            Text,
            "The template of a GET. One of `get`, `put`, `post`, `delete`, `patch` and `custom` is needed.",
        ),
        key("put", Text, "The template of a PUT."),
        key("post", Text, "The template of a POST."),
        key("delete", Text, "The template of a DELETE."),
        key("patch", Text, "The template of a PATCH."),
        key("custom", Shape::Mapping(&CUSTOM), "Another HTTP method, or any."),
        key("body", Text, "`*`, or the field of the request message that the body is."),
        key(
            "response_body",
            Text,
            "The field of the response message that is the answer, where the service is transcoded.",
        ),
        key(
            "additional_bindings",
            List(&Shape::Mapping(&ADDITIONAL)),
            "Further ways to call the same method.",
        ),
    ],
)
.with_one_of(PATTERNS);

const ADDITIONAL: Mapping = Mapping::proto(
    "additional_binding",
    &[
        key("selector", Text, "That of the rule, or nothing."),
        key(
            "get",
            Text,
            "The template of a GET. One of `get`, `put`, `post`, `delete`, `patch` and `custom` is needed.",
        ),
        key("put", Text, "The template of a PUT."),
        key("post", Text, "The template of a POST."),
        key("delete", Text, "The template of a DELETE."),
        key("patch", Text, "The template of a PATCH."),
        key("custom", Shape::Mapping(&CUSTOM), "Another HTTP method, or any."),
        key("body", Text, "`*`, or the field of the request message that the body is."),
        key(
            "response_body",
            Text,
            "The field of the response message that is the answer, where the service is transcoded.",
        ),
        key("additional_bindings", Words(&[]), "Not here: additional bindings do not nest."),
    ],
)
.with_one_of(PATTERNS);

/// google/api/http.proto, `CustomHttpPattern`.
const CUSTOM: Mapping = Mapping::proto(
    "custom_http_pattern",
    &[required("kind", Text, "The HTTP method, or `*`."), required("path", Text, "The template.")],
);

/// google/api/auth.proto, `Authentication`.
const AUTHENTICATION: Mapping = Mapping::proto(
    "authentication",
    &[
        key("providers", List(&Shape::Mapping(&PROVIDER)), "Whose tokens a method can ask for."),
        key(
            "rules",
            List(&Shape::Mapping(&AUTHENTICATION_RULE)),
            "Of the rules that select a method, the last counts.",
        ),
    ],
);

/// google/api/auth.proto, `AuthenticationRule`.
const AUTHENTICATION_RULE: Mapping = Mapping::proto(
    "authentication_rule",
    &[
        required(
            "selector",
            Text,
            "The full name of a method, `package.Service.*` or `*`; several with commas between them.",
        ),
        key("oauth", Shape::Mapping(&OAUTH), "The scopes that a token needs one of."),
        key("allow_without_credential", Boolean, "Whether a caller may come without a credential.")
            .or("false"),
        key("requirements", List(&Shape::Mapping(&REQUIREMENT)), "The providers whose tokens are taken."),
    ],
);

/// google/api/auth.proto, `OAuthRequirements`.
const OAUTH: Mapping =
    Mapping::proto("oauth", &[key("canonical_scopes", Text, "The scopes, with commas between them.")]);

/// google/api/auth.proto, `AuthRequirement`.
const REQUIREMENT: Mapping = Mapping::proto(
    "auth_requirement",
    &[
        required("provider_id", Text, "The `id` of a provider."),
        key("audiences", Text, "The audiences in place of the provider's, with commas between them."),
    ],
);

/// google/api/auth.proto, `AuthProvider`.
const PROVIDER: Mapping = Mapping::proto(
    "auth_provider",
    &[
        required("id", Text, "What requirements call it."),
        required("issuer", Text, "`iss` of its tokens."),
        key(
            "jwks_uri",
            Text,
            "Where its keys are. The keys that count are those of the issuer in the configuration.",
        ),
        key("audiences", Text, "One of them has to be in `aud`; with commas between them."),
        key("authorization_url", Text, "Accepted, and not used."),
        key(
            "jwt_locations",
            List(&Shape::Mapping(&LOCATION)),
            "Where clients put the token. It is read from `Authorization: Bearer` alone.",
        ),
    ],
);

/// google/api/auth.proto, `JwtLocation`.
const LOCATION: Mapping = Mapping::proto(
    "jwt_location",
    &[
        key("header", Text, "The name of a header."),
        key("query", Shape::Any, "The name of a query parameter."),
        key("cookie", Shape::Any, "The name of a cookie."),
        key("value_prefix", Text, "What stands before the token."),
    ],
);

/// google/api/endpoint.proto, `Endpoint`.
const ENDPOINT: Mapping = Mapping::proto(
    "endpoint",
    &[
        key("name", Shape::Any, "A host."),
        key("aliases", Shape::Any, "Further hosts."),
        unread("features"),
        unread("apis"),
        unread("target"),
        key("allow_cors", Boolean, "Whether the backend answers OPTIONS itself.").or("false"),
    ],
);

/// `ID.iam.yaml`.
pub(super) const IAM: Mapping = Mapping::ours(
    "iam",
    &[
        required("service", Text, "The name of the service."),
        key("error_domain", Text, "The `domain` in an IAM denial.").or("iam.googleapis.com"),
        required(
            "rules",
            List(&Shape::Mapping(&IAM_RULE)),
            "One rule for each method that clients can call. A method without a rule does not exist for clients.",
        ),
    ],
);

const IAM_RULE: Mapping = Mapping::ours(
    "iam_rule",
    &[
        required("selector", Text, "The full name of the method. There are no wildcards."),
        required(
            "permission",
            Pattern(
                r"^(none|[a-z][A-Za-z0-9_-]*(\.[A-Za-z][A-Za-z0-9_-]*){2})$",
                "`SERVICE.RESOURCE.VERB`, or `none`",
            ),
            "What the caller needs on the resource: `SERVICE.RESOURCE.VERB`. `none` asks for a credential alone.",
        ),
        key(
            "resource",
            Text,
            "The path variable that names the resource, a template over several, or a constant.",
        )
        .or("name"),
        key(
            "resource_type",
            Text,
            "What conditions see as `resource.type`: `SERVICE/Type`. By default, as the descriptor set says.",
        ),
        key(
            "permission_type",
            Words(&["ADMIN_READ", "ADMIN_WRITE", "DATA_READ", "DATA_WRITE"]),
            "The kind of access in the audit log. By default, it follows the HTTP method.",
        ),
        key(
            "scopes",
            Either(&[Text, List(&Text)]),
            "The scopes of which a token needs one, in place of the service file's; `none` for a token without scopes.",
        ),
        key(
            "body",
            Words(&["empty", "empty_message", "message", "stream"]),
            "What a request may bring as a body. By default, it follows the http rule.",
        ),
        key(
            "body_may_name_another_resource",
            Boolean,
            "Accepts a `stream` body that can name another resource.",
        )
        .or("false"),
        key("unimplemented", Boolean, "Answers 501 to a caller who would be allowed.").or("false"),
    ],
);
