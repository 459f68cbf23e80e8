//! Headers that a backend believes or unwraps, and the list of those that may go upstream.

use crate::harness::{Body, CANCEL, COMPANION, Gate, Req, reason, token, values};
use crate::headers::{ANA, cancel, gates, seen};

/// Headers that gateways, identity proxies, CDNs, meshes and frameworks send to a backend, and headers that a backend
/// unwraps. Names are from their documentation; a family is represented by some of its members.
const SET_BY_GATEWAYS: &[&str] = &[
    // CGI variables, which Python servers make from headers.
    "script-name",
    "path-info",
    "daphne-root-path",
    "x-amz-copy-source",
    "spring-cloud-function-definition",
    "grpc-metadata-x-opgate-principal",
    "grpc-metadata-authorization",
    "grpc-metadata-grpc-metadata-x",
    "grpcgateway-authorization",
    "x-remote-user",
    "x-remote-group",
    "x-remote-uid",
    "x-remote-extra-scopes",
    "remote-user",
    "remote-groups",
    "remote-email",
    "impersonate-user",
    "impersonate-group",
    "impersonate-extra-scopes",
    "proxy",
    "proxy-client-ip",
    "wl-proxy-client-ip",
    "wl-proxy-client-cert",
    "x-forwarded",
    "forwarded-for",
    "client-ip",
    "x-client-ip",
    "x-real-ip",
    "x-originating-ip",
    "x-remote-addr",
    "x-proxyuser-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "cf-connecting-ip",
    "cf-access-jwt-assertion",
    "cf-access-authenticated-user-email",
    "cloudfront-viewer-address",
    "x-appengine-user-ip",
    "x-appengine-cron",
    "x-azure-clientip",
    "x-arr-clientcert",
    "x-ms-client-principal-name",
    "x-ms-token-aad-id-token",
    "ms-aspnetcore-winauthtoken",
    "x-amzn-oidc-data",
    "x-amzn-mtls-clientcert",
    "x-amzn-request-context",
    "x-webauth-user",
    "x-authentik-username",
    "x-pomerium-jwt-assertion",
    "x-pomerium-claim-email",
    "x-auth-request-email",
    "x-vouch-user",
    "oidc-claim-sub",
    "x-consumer-username",
    "x-credential-identifier",
    "x-authenticated-userid",
    "x-anonymous-consumer",
    "x-jwt-assertion",
    "x-jwt-claim-sub",
    "x-hasura-role",
    "x-userinfo",
    "x-access-token",
    "x-authorization",
    "x-token-user-roles",
    "x-user",
    "x-user-roles",
    "x-tyk-key",
    "iv-user",
    "tailscale-user-login",
    "l5d-client-id",
    "dapr-caller-app-id",
    "x-envoy-original-path",
    "x-middleware-subrequest",
    "x-accel-mapping",
    "camelhttpuri",
    "$wsru",
    "client-cert",
    "client-cert-chain",
    "x-client-cert",
    "x-client-cert-chain",
    "x-client-dn",
    "ssl-client-verify",
    "x-ssl-cert",
    "x-tls-client-subject",
    "x-spiffe-id",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-prefix",
    "x-http-content-type-override",
    "front-end-https",
    "x-url-scheme",
    "x-proxiedentitieschain",
    "x-scope-orgid",
];

#[tokio::test]
async fn a_client_cannot_send_a_header_that_only_a_gateway_may_set() {
    for (protocol, gate) in gates(&["services.cloudaicompanion.forward=[authorization, principal]"]) {
        for names in SET_BY_GATEWAYS.chunks(40) {
            let mut request = cancel().bearer(&token(ANA));
            for name in names {
                request = request.header(name, "forged");
            }
            for headers in seen(&gate, &request).await {
                let forged = headers.iter().filter(|(_, value)| *value == "forged");
                let forged: Vec<&str> = forged.map(|(name, _)| name.as_str()).collect();
                assert_eq!(forged, Vec::<&str>::new(), "over {protocol}");
                assert_eq!(values(&headers, "x-opgate-principal"), ["user:ana@example.com"]);
            }
        }
    }
}

#[tokio::test]
async fn other_spellings_of_gateway_headers_are_refused_and_connection_cannot_name_one() {
    let gate = Gate::start();
    for name in SET_BY_GATEWAYS.iter().filter(|name| name.contains('-')) {
        let twins = [name.replace('-', "_"), name.replacen('-', ".", 1), name.replacen('-', "--", 1)];
        let headers = twins.iter().map(|twin| (twin.as_str(), "1"));
        for (field, value) in headers.chain([("connection", *name)]) {
            let answer = gate.http1(&cancel().bearer(&token(ANA)).header(field, value)).await;
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (400, "REQUEST_MALFORMED".to_owned()), "{field}: {value}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn every_header_that_replaces_the_method_is_refused() {
    let gate = Gate::start();
    for name in [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-httpmethod-override",
        "x-http-methodoverride",
        "http-method-override",
        "method-override",
        "x-method",
        "http-method",
        "x-http-verb-override",
        "_method",
        "x_http_method",
        "x.http.method.override",
    ] {
        let request = cancel().bearer(&token(ANA)).header(name, "DELETE");
        for answer in gate.over_both(&request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{name}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn headers_of_ordinary_clients_pass_though_their_names_resemble_gateway_headers() {
    const HONEST: &[&str] = &[
        "accept-language",
        "cache-control",
        "grpc-timeout",
        "grpc-accept-encoding",
        "if-match",
        "origin",
        "priority",
        "range",
        "referer",
        "sec-fetch-site",
        "user-agent",
        "x-api-key",
        "x-auth-token",
        "x-client-data",
        "x-client-version",
        "x-correlation-id",
        "x-csrf-token",
        "x-firebase-client",
        "x-goog-api-client",
        "x-goog-api-key",
        "x-goog-fieldmask",
        "x-goog-user-project",
        "x-goog-upload-protocol",
        "x-grpc-web",
        "x-ms-client-request-id",
        "x-requested-with",
        "x-server-timeout",
        "x-upload-content-type",
        "x-user-agent",
    ];
    for (protocol, gate) in gates(&[]) {
        let mut request = cancel().bearer(&token(ANA));
        for name in HONEST {
            request = request.header(name, "honest");
        }
        for headers in seen(&gate, &request).await {
            for name in HONEST {
                assert_eq!(values(&headers, name), ["honest"], "{name} over {protocol}");
            }
        }
    }
}

#[tokio::test]
async fn only_listed_request_headers_go_upstream() {
    let listed = "services.cloudaicompanion.request_headers=[Accept, x-acme-*, x-trace]";
    for (protocol, gate) in gates(&[listed]) {
        let request = cancel()
            .bearer(&token(ANA))
            .header("accept", "application/json")
            .header("accept-language", "de")
            .header("cookie", "a=1")
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .header("user-agent", "test/1.0")
            .header("x-acme", "1")
            .header("x-acme-a", "1")
            .header("X-Acme-B-C", "2")
            .header("x-goog-api-key", "k")
            .header("x-trace", "3")
            .header("x-trace-id", "4");
        for headers in seen(&gate, &request).await {
            let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
            names.sort_unstable();
            // Over HTTP/2 the host is a pseudo-header.
            names.retain(|name| *name != "host");
            let expected = [
                "accept",
                "content-length",
                "x-acme-a",
                "x-acme-b-c",
                "x-opgate-principal",
                "x-request-id",
                "x-trace",
            ];
            assert_eq!(names, expected, "over {protocol}");
        }
    }
    // An empty list forwards no client header; fields that frame and describe a body always go.
    for (protocol, gate) in gates(&["services.cloudaicompanion.request_headers=[]"]) {
        let request = Req::new("POST", COMPANION, &CANCEL.replace(":cancel", ":wait"))
            .bearer(&token(ANA))
            .header("accept", "*/*")
            .header("content-type", "application/json")
            .body(Body::Length(br#"{"timeout":"0s"}"#.to_vec()));
        for headers in seen(&gate, &request).await {
            assert!(!headers.contains_key("accept"), "{protocol}");
            assert_eq!(values(&headers, "content-type"), ["application/json"], "{protocol}");
            assert_eq!(values(&headers, "content-length"), ["16"], "{protocol}");
        }
    }
}
