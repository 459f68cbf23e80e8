//! Header fields about the caller, the client's address, the host or the connection's safety, which backends believe.
//!
//! A gateway, an identity proxy, a CDN or a mesh in front of a backend sends it such fields, and the backend believes
//! them. opgate stands in their place, so a client's copies end here. The lists go by families, since a missing name is
//! a way round the gate. A `*` at the end stands for any text. The names of each list come from the documentation of
//! the products that it is named for.

use std::sync::LazyLock;

use super::names::HeaderNames;

/// Fields that a backend's server unwraps into others: `Grpc-Metadata-Authorization` is `authorization` to a gRPC service
/// behind grpc-gateway, `Camel…` steers Apache Camel, `micro-` go-micro.
const UNWRAPPED: &[&str] =
    &["camel*", "grpc-metadata-*", "grpc-trailer-*", "grpcgateway-*", "micro-*", "org-apache-camel*"];

/// The caller, in the fields of Kubernetes' front proxy, web servers' modules and identity proxies: Authelia,
/// Authentik, Grafana, Keycloak, mod_auth_openidc, mod_auth_mellon, nginx-ldap-auth, oauth2-proxy, Okta, Oracle's and
/// IBM's access managers, Pomerium, Shibboleth, SiteMinder, Tailscale, Teleport, Vouch.
const IDENTITY: &[&str] = &[
    "auth-request-*",
    "auth-user*",
    "authenticated-*",
    "cas-*",
    "ct-remote-user",
    "eppn",
    "gap-*",
    "impersonate*",
    "iv-*",
    "keycloak-*",
    "mellon-*",
    "ngrok-auth-*",
    "oam-*",
    "oidc-*",
    "on-behalf-of*",
    "osso-*",
    "persistent-id",
    "remote-*",
    "shib-*",
    "sm-*",
    "sso-*",
    "tailscale-*",
    "teleport-*",
    "webauth-*",
    "x-auth-*",
    "x-authenticated*",
    "x-authentik-*",
    "x-authn*",
    "x-authz*",
    "x-impersonate*",
    "x-jwt*",
    "x-keycloak-*",
    "x-ldap-*",
    "x-oidc-*",
    "x-okta-*",
    "x-on-behalf-of*",
    "x-pingaccess-*",
    "x-pomerium-*",
    "x-remote*",
    "x-saml*",
    "x-shib-*",
    "x-sso-*",
    "x-teleport-*",
    "x-vouch-*",
    "x-webauth-*",
];

/// The caller, in the fields of gateways without a product's name (APISIX, caddy-security, Keystone, NiFi, Oathkeeper,
/// mobile networks), and credentials that would pass for `Authorization`.
const CLAIMED: &[&str] = &[
    "es-security-runas-user",
    "msisdn",
    "x-access-token",
    "x-admin*",
    "x-authorization",
    "x-caller*",
    "x-claim*",
    "x-email*",
    "x-group*",
    "x-id-token",
    "x-identity*",
    "x-internal*",
    "x-is-admin*",
    "x-login*",
    "x-msisdn*",
    "x-permission*",
    "x-principal*",
    "x-proxied*",
    "x-role*",
    "x-scope*",
    "x-subject*",
    "x-token-*",
    "x-trusted*",
    "x-up-*",
    "x-user*",
];

/// API gateways, meshes and servers: 3scale, Apigee, Consul, Dapr, Envoy, Hasura, Istio, Kong, linkerd, Next.js, Rack,
/// Tyk, WebLogic, WebSphere's plugin, WSO2.
const GATEWAYS: &[&str] = &[
    "$ws*",
    "dapr-*",
    "l5d-*",
    "linkerd-*",
    "wl-proxy-*",
    "x-3scale-*",
    "x-accel-*",
    "x-anonymous-*",
    "x-apigee-*",
    "x-consul-*",
    "x-consumer-*",
    "x-credential-*",
    "x-envoy-*",
    "x-ext-authz*",
    "x-gateway-*",
    "x-hasura-*",
    "x-invoke-*",
    "x-istio-*",
    "x-kong-*",
    "x-matched-path",
    "x-middleware-*",
    "x-now-*",
    "x-opgate*",
    "x-request-id",
    "x-sendfile*",
    "x-tyk-*",
    "x-weblogic-*",
    "x-wso2-*",
];

/// Clouds and CDNs: Akamai, Alibaba, App Engine, AWS, Azure, Cloud Endpoints, Cloudflare, Cloud Foundry, CloudFront,
/// Cloud Run, DigitalOcean, Fastly, Fly, IAP, Imperva, Netlify, Sucuri, Tencent, Vercel.
const CLOUDS: &[&str] = &[
    "akamai-*",
    "ali-*",
    "cdn-client-ip",
    "cdn-real-ip",
    "cdn-src-ip",
    "cf-*",
    "cloudfront-*",
    "disguised-host",
    "do-connecting-ip",
    "eo-*",
    "fastly-*",
    "fly-*",
    "geoip-*",
    "incap-*",
    "ms-aspnetcore-*",
    "was-default-hostname",
    "x-akamai-*",
    "x-amzn-*",
    "x-apigateway-*",
    "x-appengine-*",
    "x-appgw-*",
    "x-arr-*",
    "x-azure-*",
    "x-cdn-*",
    "x-cf-*",
    "x-edgeconnect-*",
    "x-endpoint-*",
    "x-fd-*",
    "x-geo*",
    "x-gfe-*",
    "x-goog-authenticated-*",
    "x-goog-iam-*",
    "x-goog-iap-*",
    "x-goog-request-params",
    "x-google-apps-*",
    "x-google-internal-*",
    "x-google-real-ip",
    "x-incap-*",
    "x-ms-client-principal*",
    "x-ms-token*",
    "x-nf-*",
    "x-serverless-*",
    "x-sucuri-*",
    "x-vercel-*",
    "x-waws-*",
];

/// The client's address and the hops before, and the fields that CGI turns into proxy settings (httpoxy).
const ADDRESSES: &[&str] = &[
    "client-ip*",
    "cluster-client-ip",
    "forwarded*",
    "http-client-*",
    "http-forwarded*",
    "http-remote-*",
    "http-via",
    "http-x-*",
    "originating-ip",
    "proxy",
    "proxy-*",
    "real-ip",
    "true-client*",
    "via",
    "x-bluecoat-*",
    "x-client-*",
    "x-clientip",
    "x-cluster-*",
    "x-connecting-ip",
    "x-custom-ip-*",
    "x-forward*",
    "x-ip",
    "x-orig-*",
    "x-origin-ip",
    "x-originating-*",
    "x-peer-*",
    "x-proxy*",
    "x-real*",
    "x-source-ip",
    "x-src-ip",
    "x-true-*",
    "x-via",
];

/// The host, the scheme, the path, the resource, the function and the type of the body, where they would replace the
/// judged ones: the variables of CGI (RFC 3875, section 4.1), which gunicorn, Daphne and Passenger take from headers,
/// and fields that name a second resource or another function (S3, Cloud Storage, Azure, WebDAV, Spring Cloud
/// Function).
const TARGETS: &[&str] = &[
    "auth-type",
    "daphne-*",
    "destination",
    "front-end-https",
    "gateway-interface",
    "host-override",
    "http-host",
    "https",
    "passenger-*",
    "path-info",
    "path-translated",
    "query-string",
    "raw-request-uri",
    "request-method",
    "request-uri",
    "root-path",
    "script-filename",
    "script-name",
    "server-name",
    "server-port",
    "spring-cloud-*",
    "x-amz-copy-source*",
    "x-amz-target",
    "x-backend-host",
    "x-base-url",
    "x-content-type-override",
    "x-copy-from*",
    "x-goog-copy-source*",
    "x-helidon-*",
    "x-host*",
    "x-http-*",
    "x-https*",
    "x-iisnode-*",
    "x-ingress-*",
    "x-ms-copy-source*",
    "x-ms-rename-source*",
    "x-original*",
    "x-override*",
    "x-path-info",
    "x-proto",
    "x-request-uri",
    "x-rewrite*",
    "x-root-path",
    "x-scheme",
    "x-script-name",
    "x-server-name",
    "x-url-scheme",
    "x-virtual-host*",
];

/// TLS facts about the client (RFC 9440 and older fields: Apache, HAProxy, nginx, Citrix, F5).
const CERTIFICATES: &[&str] = &[
    "client-cert*",
    "client-dn",
    "client-verify",
    "nsc-*",
    "ssl-*",
    "tls-*",
    "x-cert*",
    "x-f5-*",
    "x-mtls-*",
    "x-spiffe-*",
    "x-ssl*",
    "x-tls*",
];

/// The context of a trace, and what goes with it: W3C Trace Context and Baggage, AppDynamics, AWS X-Ray, Datadog,
/// Dynatrace, Elastic APM, Envoy, Google Cloud, Instana, Jaeger, Microsoft's older `Request-Id`, New Relic, OpenCensus,
/// OpenTracing, Pinpoint, Sentry, SkyWalking, SolarWinds, Zipkin. Who writes them chooses which trace the backend's
/// spans go into, and has them recorded. So they count from a trusted proxy alone.
const TRACES: &[&str] = &[
    "adrum*",
    "b3",
    "baggage",
    "correlation-context",
    "eagleeye-*",
    "elastic-apm-*",
    "grpc-tags-bin",
    "grpc-trace-bin",
    "jaeger-baggage",
    "jaeger-debug-id",
    "newrelic",
    "ot-baggage-*",
    "ot-tracer-*",
    "pinpoint-*",
    "request-id",
    "sentry-trace",
    "singularityheader",
    "sw8*",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "uberctx-*",
    "x-amzn-trace-id",
    "x-b3-*",
    "x-client-trace-id",
    "x-cloud-trace-context",
    "x-datadog-*",
    "x-dynatrace*",
    "x-honeycomb-*",
    "x-instana-*",
    "x-newrelic-*",
    "x-ot-span-context",
    "x-tingyun*",
    "x-trace-options*",
];

/// Members of these families that clients write themselves and no gateway does: names and versions of Chrome, gRPC-Web,
/// Firebase and other SDKs, and keys and tokens that their reader verifies.
const CLIENTS_OWN: &[&str] = &[
    "x-auth-key",
    "x-auth-token",
    "x-client-data",
    "x-client-info",
    "x-client-name",
    "x-client-request-id",
    "x-client-version",
    "x-user-agent",
];

/// Fields that replace the judged method (cloud.google.com/apis/docs/system-parameters and similar ones).
/// `Method` alone is what `_method` is to a reader that trims.
const METHOD_OVERRIDES: &[&str] = &[
    "http-method*",
    "method",
    "method-override",
    "x-http-method*",
    "x-http-verb*",
    "x-httpmethod*",
    "x-method",
    "x-method-override*",
    "x-methodoverride",
    "x-override-method",
];

static TOLD: LazyLock<HeaderNames> = LazyLock::new(|| {
    let lists = [
        UNWRAPPED,
        IDENTITY,
        CLAIMED,
        GATEWAYS,
        CLOUDS,
        ADDRESSES,
        TARGETS,
        CERTIFICATES,
        TRACES,
        METHOD_OVERRIDES,
    ];
    HeaderNames::new(lists.into_iter().flatten().copied())
});
static OWN: LazyLock<HeaderNames> = LazyLock::new(|| HeaderNames::new(CLIENTS_OWN.iter().copied()));
static OVERRIDES: LazyLock<HeaderNames> =
    LazyLock::new(|| HeaderNames::new(METHOD_OVERRIDES.iter().copied()));

static TRACED: LazyLock<HeaderNames> = LazyLock::new(|| HeaderNames::new(TRACES.iter().copied()));

/// What happens to a client's field of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Only the gate may tell it: dropped.
    Told,
    /// Only a trusted proxy may tell it: dropped from others.
    Trace,
    /// It replaces the method: the request is refused.
    MethodOverride,
}

/// The family of a name, in lower case. Most names have none: that is one search.
pub(super) fn family(name: &str) -> Option<Family> {
    if !TOLD.contains(name) || OWN.contains(name) {
        None
    } else if OVERRIDES.contains(name) {
        Some(Family::MethodOverride)
    } else if TRACED.contains(name) {
        Some(Family::Trace)
    } else {
        Some(Family::Told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: [&[&str]; 11] = [
        UNWRAPPED,
        IDENTITY,
        CLAIMED,
        GATEWAYS,
        CLOUDS,
        ADDRESSES,
        TARGETS,
        CERTIFICATES,
        TRACES,
        CLIENTS_OWN,
        METHOD_OVERRIDES,
    ];

    #[test]
    fn names_are_written_as_they_are_compared_and_in_order() {
        for list in LISTS {
            assert!(list.is_sorted(), "{list:?}");
            for name in list {
                let text = name.strip_suffix('*').unwrap_or(name);
                let plain = |byte: u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'$')
                };
                assert!(!text.is_empty() && text.bytes().all(plain), "{name}");
            }
        }
    }

    #[test]
    fn every_name_of_every_list_is_found() {
        for list in LISTS {
            for name in list {
                let expected = match list {
                    _ if list == CLIENTS_OWN => None,
                    _ if list == METHOD_OVERRIDES => Some(Family::MethodOverride),
                    _ if list == TRACES => Some(Family::Trace),
                    _ => Some(Family::Told),
                };
                let member = name.replace('*', "");
                assert_eq!(family(&member), expected, "{member}");
                if member != *name {
                    assert_eq!(family(&format!("{member}x")), expected, "{member}x");
                }
            }
        }
    }

    #[test]
    fn a_name_that_is_only_near_has_no_family() {
        for name in [
            "authorization",
            "cookie",
            "date",
            "from",
            "grpc-timeout",
            "host",
            "if-match",
            "sec-fetch-site",
            "user-agent",
            "x-amz-date",
            "x-correlation-id",
            "x-forms",
            "x-trace-id",
            "x-goog-api-client",
            "x-goog-fieldmask",
            "x-goog-user-project",
            "x-request-start",
            "x-requested-with",
            "x-server-timeout",
        ] {
            assert_eq!(family(name), None, "{name}");
        }
    }
}
