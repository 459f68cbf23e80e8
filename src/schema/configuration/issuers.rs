//! `issuers` of the operator's file.

use crate::schema::shape::Shape::{
    self, Boolean, Duration, Either, List, Named, Path, Several, Text, Whole, Words,
};
use crate::schema::shape::{Mapping, key, required};

/// An entry: an issuer, or service accounts that sign their own tokens.
pub(super) const ISSUER: Shape = Either(&[Shape::Mapping(&SIGNING), Shape::Mapping(&SERVICE_ACCOUNTS)]);

const SIGNING: Mapping = Mapping::ours(
    "issuer",
    &[
        key("issuer", Text, "`iss` of its tokens, compared exactly. Needed, unless `trust_domain` is there."),
        required("audiences", List(&Text), "One of them must be in `aud`."),
        key(
            "audience_claim",
            Words(&["aud", "client_id", "azp", "appid", "cid"]),
            "The claim to compare with `audiences`, for access tokens without `aud`.",
        )
        .or("aud"),
        key(
            "required_claims",
            Named("the name of a claim", &Either(&[Text, Boolean, Whole(i64::MIN, i64::MAX)])),
            "Claims that a token needs, each with this value.",
        ),
        key("accept_id_tokens", Boolean, "Whether tokens that look like ID tokens are accepted.").or("false"),
        key("trust_domain", Text, "For JWT-SVIDs of SPIFFE: `sub` is an ID of this domain."),
        key(
            "keys",
            Shape::Mapping(&KEYS),
            "The keys that sign its tokens. One of `keys`, `introspection` and `tokeninfo` is needed.",
        ),
        key(
            "introspection",
            Shape::Mapping(&INTROSPECTION),
            "For opaque tokens: the issuer is asked about each (RFC 7662).",
        ),
        key("tokeninfo", Shape::Mapping(&TOKENINFO), "The same, by an endpoint like Google's."),
        key("scopes", List(&Text), "The scopes of its tokens that carry neither `scope` nor `scp`."),
        key(
            "algorithms",
            List(&Words(&[
                "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519",
            ])),
            "The algorithms that it signs with.",
        )
        .or(r#"["RS256", "ES256", "PS256", "EdDSA"]"#),
        key("clock_skew", Duration, "How far its clock may be from opgate's.").or("30s"),
        key("token_types", List(&Text), "Accepted `typ` values. By default, JWT, at+jwt or none."),
        key(
            "subject_pool",
            Text,
            "The identity pool whose subjects are its callers without a verified email.",
        ),
        key("accept_unverified_email", Boolean, "Whether an email counts without `email_verified`.")
            .or("false"),
        key(
            "email_domains",
            List(&Text),
            "The domains of emails that it may assert. Needed with several issuers.",
        ),
        key("groups", Shape::Mapping(&GROUPS), "A claim that holds the emails of a caller's groups."),
        key(
            "attribute_mapping",
            Named("`google.subject`, `google.groups` or `attribute.NAME`", &Text),
            "Names and attributes of its callers in the pool, in CEL over the claims.",
        ),
        key("attribute_condition", Text, "CEL that has to be true of a token."),
        key(
            "proof_of_possession",
            Shape::Mapping(&POSSESSION),
            "Whether tokens have to be bound to a key, and which proofs count.",
        ),
    ],
)
.with_one_of(&["keys", "introspection", "tokeninfo"]);

const SERVICE_ACCOUNTS: Mapping = Mapping::ours(
    "service_accounts",
    &[
        required(
            "service_accounts",
            List(&Text),
            "Emails of service accounts that sign their own tokens (AIP-4111).",
        ),
        required(
            "keys",
            Shape::Mapping(&KEYS),
            "Where the keys of each are: `{email}` stands for its address.",
        ),
        key("clock_skew", Duration, "How far their clocks may be from opgate's.").or("30s"),
    ],
);

const KEYS: Mapping = Mapping::ours(
    "keys",
    &[
        key("file", Path, "A file with a JWK set. One of `file`, `url`, `urls` and `discovery` is needed."),
        key("url", Text, "The URL of a JWK set."),
        key("urls", Several(&Text), "Several URLs, at most 8: their keys are one set."),
        key(
            "discovery",
            Words(&["openid", "oauth"]),
            "Asks the issuer for the URL: OpenID Connect Discovery, or RFC 8414.",
        ),
        key(
            "jwks_hosts",
            List(&Text),
            "Hosts that the URL from discovery may name, beside the issuer's own.",
        ),
        key("ca", Path, "PEM file of the only CAs that are trusted. By default, those of the system."),
        key("token_file", Path, "A file with a token that is sent with each fetch."),
        key("proxy", Text, "A proxy for `https` URLs. The environment's proxy is never used."),
        key("refresh", Duration, "From one fetch to the next, at least 30s. `Cache-Control` may shorten it.")
            .or("10m"),
        key("max_stale", Duration, "How long the last good keys are used while fetches fail.").or("24h"),
        key("cool_down", Duration, "From one fetch for an unknown key to the next, at least 1s.").or("10s"),
    ],
)
.with_one_of(&["file", "url", "urls", "discovery"]);

const INTROSPECTION: Mapping = Mapping::ours(
    "introspection",
    &[
        required("url", Text, "The URL of the endpoint."),
        required("client_id", Text, "What opgate is called there."),
        key(
            "client_secret_file",
            Path,
            "A file with its secret. This, or a certificate and its key, is needed.",
        ),
        key("client_certificate", Path, "PEM file of its certificate."),
        key("client_key", Path, "PEM file of the certificate's private key."),
        key("authentication", Words(&["basic", "post"]), "Where the secret is sent.").or("basic"),
        key("prefix", Text, "How the issuer's tokens begin. Needed with several issuers of opaque tokens."),
        key("ca", Path, "PEM file of the only CAs that are trusted. By default, those of the system."),
        key("proxy", Text, "A proxy for `https` URLs."),
        key("timeout", Duration, "For one question; then 503.").or("5s"),
        key("remember", Duration, "How long a good token is not asked about again.").or("5m"),
        key("remember_briefly", Duration, "The same for a bad token, or one without an expiry.").or("10s"),
    ],
);

const TOKENINFO: Mapping = Mapping::ours(
    "tokeninfo",
    &[
        required("url", Text, "The URL of the endpoint."),
        key("prefix", Text, "How the issuer's tokens begin. Needed with several issuers of opaque tokens."),
        key("ca", Path, "PEM file of the only CAs that are trusted. By default, those of the system."),
        key("proxy", Text, "A proxy for `https` URLs."),
        key("timeout", Duration, "For one question; then 503.").or("5s"),
        key("remember", Duration, "How long a good token is not asked about again.").or("5m"),
        key("remember_briefly", Duration, "The same for a bad token, or one without an expiry.").or("10s"),
    ],
);

const GROUPS: Mapping = Mapping::ours(
    "issuer_groups",
    &[
        required("claim", Text, "The name of the claim."),
        required("as", Words(&["group"]), "What its values become: members of `group:EMAIL`."),
    ],
);

const POSSESSION: Mapping = Mapping::ours(
    "proof_of_possession",
    &[
        key(
            "tokens",
            Words(&["optional", "required"]),
            "Whether a token that is bound to no key is refused.",
        )
        .or("optional"),
        key(
            "kinds",
            List(&Words(&["mtls", "dpop"])),
            "Proofs that count: a client certificate (RFC 8705), a DPoP proof (RFC 9449).",
        )
        .or(r#"["mtls", "dpop"]"#),
        key("nonces", Boolean, "Whether proofs need a nonce from this process.").or("false"),
        key("public_port", Whole(1, 65535), "The port that clients see, if it is not the listener's."),
    ],
);
