//! `X-Forwarded-For` and `Forwarded`: which proxies the gate believes about the client's address. Only configured ones.

use serde_json::Value;

use crate::harness::{COMPANION, Gate, Req, Setup, Tree, cancel, reason, token, values};

const BELIEVED: &str = "trusted_proxies={addresses: [127.0.0.1, 10.0.0.0/8]}";
const BELIEVED_BY_RFC: &str = "trusted_proxies={addresses: [127.0.0.1, 10.0.0.0/8], header: forwarded}";
const TELLING: &str = "services.cloudaicompanion.forward=[origin, request_id]";

fn gate(set: &[&str]) -> Gate {
    Gate::start_with(Setup { set: set.iter().map(ToString::to_string).collect(), ..Setup::default() })
}

/// The fields about the client that the backend saw of each request, over both versions.
async fn client_fields(gate: &Gate, request: &Req) -> Vec<(Vec<String>, Vec<String>)> {
    gate.backend.clear();
    for answer in gate.over_both(request).await {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }
    let of = |headers| (values(headers, "x-forwarded-for"), values(headers, "x-forwarded-proto"));
    gate.backend.requests().iter().map(|request| of(&request.headers)).collect()
}

fn callers(lines: &[Value]) -> Vec<&str> {
    fn caller(line: &Value) -> &Value {
        &line["protoPayload"]["requestMetadata"]["callerIp"]
    }
    lines.iter().map(|line| caller(line).as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn a_client_cannot_choose_its_own_address() {
    let gate = gate(&[TELLING]);
    let forged = cancel()
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-forwarded-proto", "https")
        .header("forwarded", "for=192.0.2.1;proto=https");
    let seen = (vec!["127.0.0.1".to_owned()], vec!["http".to_owned()]);
    assert_eq!(client_fields(&gate, &forged).await, [seen.clone(), seen]);
    assert_eq!(callers(&gate.audit(2)), ["127.0.0.1", "127.0.0.1"]);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_as_far_as_it_has_written() {
    for (setting, fields, address, scheme) in [
        (BELIEVED, &[("x-forwarded-for", "1.1.1.1, 192.0.2.1, 10.0.0.9")][..], "192.0.2.1", "http"),
        (
            BELIEVED,
            &[("x-forwarded-for", "2001:db8::1"), ("x-forwarded-proto", "https")],
            "2001:db8::1",
            "https",
        ),
        // Each proxy appends the scheme of its own client, as well as its address.
        (
            BELIEVED,
            &[
                ("x-forwarded-for", "1.1.1.1, 192.0.2.1, 10.0.0.9"),
                ("x-forwarded-proto", "http, https, http"),
            ],
            "192.0.2.1",
            "https",
        ),
        // As the load balancers of Google do it: the client's address, and their own, behind what the client wrote.
        (
            BELIEVED,
            &[("x-forwarded-for", "10.9.9.9,192.0.2.1,10.0.0.9"), ("x-forwarded-proto", "https")],
            "192.0.2.1",
            "https",
        ),
        // The header that is not configured comes from the client: it is ignored.
        (BELIEVED, &[("forwarded", "for=1.1.1.1;proto=https")], "127.0.0.1", "http"),
        (
            BELIEVED_BY_RFC,
            &[("forwarded", "for=1.1.1.1, for=\"[2001:db8::1]:9\";proto=https")],
            "2001:db8::1",
            "https",
        ),
        (
            BELIEVED_BY_RFC,
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")],
            "127.0.0.1",
            "http",
        ),
    ] {
        let gate = gate(&[setting, TELLING]);
        let request = fields.iter().fold(cancel(), |request, (name, value)| request.header(name, value));
        let seen = (vec![address.to_owned()], vec![scheme.to_owned()]);
        assert_eq!(client_fields(&gate, &request).await, [seen.clone(), seen], "{fields:?}");
        assert_eq!(callers(&gate.audit(2)), [address, address]);
    }
}

#[tokio::test]
async fn a_malformed_header_of_a_trusted_proxy_is_refused() {
    let by_list = gate(&[BELIEVED]);
    let by_rfc = gate(&[BELIEVED_BY_RFC]);
    for (gate, name, value) in [
        (&by_list, "x-forwarded-for", "192.0.2.1, elsewhere"),
        (&by_list, "x-forwarded-proto", "https,gopher"),
        (&by_rfc, "forwarded", "for=\"x, for=192.0.2.1"),
    ] {
        let request = cancel().header(name, value);
        for answer in gate.over_both(&request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{value}");
        }
        assert!(gate.backend.requests().is_empty());
    }
}

/// `origin.ip` is the address that the proxy reports. A binding for the office's network holds for clients there alone;
/// a client whose address the proxy hides gets nothing by it.
#[tokio::test]
async fn conditions_see_the_client_behind_the_proxy() {
    let tree = Tree::shipped();
    let policy = "version: 3\nbindings:\n- role: organizations/7/roles/operationsCanceller\n  members: ['user:visitor@example.com']\n  \
                  condition: {title: office, expression: \"origin.ip == '192.0.2.7'\"}\n";
    tree.write("allow/projects/other.yaml", policy);
    // The tree's own tests expect the binding that this policy replaces.
    std::fs::remove_dir_all(tree.path().join("tests")).unwrap();
    let gate = gate(&[BELIEVED, &tree.setting()]);
    let target = "/v1/projects/other/locations/us-central1/operations/o:cancel";
    for (forwarded, granted) in [
        (Some("192.0.2.7"), true),
        (Some("192.0.2.7, 10.0.0.2"), true),
        (Some("192.0.2.7, 192.0.2.8"), false),
        (Some("unknown"), false),
        (None, false),
    ] {
        let mut request = Req::new("POST", COMPANION, target).bearer(&token("visitor@example.com"));
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        for answer in gate.over_both(&request).await {
            let refused = reason(&answer) == "IAM_PERMISSION_DENIED";
            assert_eq!(!refused, granted, "{forwarded:?}: {}", answer.status);
        }
    }
}
