//! Whose word counts for the trace that a backend's spans go into, where the gate writes no spans.

use crate::harness::{Gate, Req, Setup, token, values};
use crate::headers::{ANA, cancel, gates, seen};

pub const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub const PROXIES: &str = "trusted_proxies={addresses: [127.0.0.1]}";

/// A field of each system, with a value that it would believe.
const FIELDS: &[(&str, &str)] = &[
    ("traceparent", TRACEPARENT),
    ("tracestate", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
    ("baggage", "user=root"),
    ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
    ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
    ("x-b3-spanid", "e457b5a2e4d86bd1"),
    ("x-b3-sampled", "1"),
    ("x-b3-flags", "1"),
    ("x-cloud-trace-context", "105445aa7843bc8bf206b12000100000/1;o=1"),
    ("grpc-trace-bin", "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE="),
    ("grpc-tags-bin", "AAA="),
    ("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1"),
    ("uberctx-user", "root"),
    ("jaeger-debug-id", "mine"),
    ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
    ("x-datadog-trace-id", "1"),
    ("x-datadog-sampling-priority", "2"),
    ("x-client-trace-id", "mine"),
    ("sentry-trace", "771a43a4192642f0b136d5159a501700-6e0c63257de34c92-1"),
    ("sw8", "1-MQ==-MQ==-3-bWVzaA==-aW5zdA==-L2Fw-aG9zdA=="),
    ("request-id", "|4bf92f35.1."),
    ("correlation-context", "user=root"),
    ("ot-tracer-traceid", "1"),
    ("newrelic", "e30="),
];

fn request(fields: &[(&str, &str)]) -> Req {
    fields.iter().fold(cancel().bearer(&token(ANA)), |request, (name, value)| request.header(name, value))
}

#[tokio::test]
async fn no_trace_of_a_stranger_goes_upstream() {
    for (protocol, gate) in gates(&[]) {
        for headers in seen(&gate, &request(FIELDS)).await {
            for (name, _) in FIELDS {
                assert!(!headers.contains_key(*name), "{name} over {protocol}");
            }
        }
        // Nor where the operator lists it: the list chooses among what may pass.
        let listed = Setup {
            set: vec!["services.cloudaicompanion.request_headers=[traceparent, b3]".to_owned()],
            ..Setup::default()
        };
        for headers in seen(&Gate::start_with(listed), &request(FIELDS)).await {
            assert!(!headers.contains_key("traceparent") && !headers.contains_key("b3"));
        }
    }
}

#[tokio::test]
async fn a_trusted_proxys_trace_goes_upstream_as_it_came() {
    for (protocol, gate) in gates(&[PROXIES]) {
        for headers in seen(&gate, &request(FIELDS)).await {
            for (name, value) in FIELDS {
                assert_eq!(values(&headers, name), [*value], "{name} over {protocol}");
            }
        }
    }
}

#[tokio::test]
async fn a_trace_that_is_not_well_formed_goes_nowhere() {
    for (protocol, gate) in gates(&[PROXIES]) {
        for (parent, state, parent_passes) in [
            ("00-x", "congo=1", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", "congo=1", false),
            (TRACEPARENT, "Congo=1", true),
        ] {
            let fields = [("traceparent", parent), ("tracestate", state), ("baggage", "a=1")];
            for headers in seen(&gate, &request(&fields)).await {
                assert_eq!(headers.contains_key("traceparent"), parent_passes, "{parent} over {protocol}");
                assert!(!headers.contains_key("tracestate"), "{state} over {protocol}");
                assert_eq!(values(&headers, "baggage"), ["a=1"]);
            }
        }
    }
}
