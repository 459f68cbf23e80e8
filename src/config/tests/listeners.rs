//! Listeners and addresses that can never be what was meant.

use super::{GOOD, rendered};

/// What stood behind it may be a comment by now: such a listener served without TLS, and such an admin address told everyone.
#[test]
fn a_key_with_nothing_behind_it_is_a_mistake() {
    for (good, bad, key) in [
        ("{address: \"127.0.0.1:8080\"}", "{address: \"127.0.0.1:8080\", tls: }", "tls"),
        (
            "{address: \"127.0.0.1:8080\"}",
            "{address: \"127.0.0.1:8080\", proxy_protocol: }",
            "proxy_protocol",
        ),
        (
            "policy:",
            "admin:\n  address: 127.0.0.1:9901\n  explain:\n  #  token_file: admin-token\npolicy:",
            "explain",
        ),
        ("policy:", "trusted_proxies:\npolicy:", "trusted_proxies"),
    ] {
        let told = rendered(&GOOD.replacen(good, bad, 1));
        assert!(told.contains(&format!("there is nothing behind `{key}`")), "{bad}: {told}");
        assert_eq!(told.matches("error: ").count(), 1, "{told}");
    }
    let told = rendered(&GOOD.replace("issuer: https://login.example.com", "issuer:"));
    assert_eq!(told.matches("error: ").count(), 1, "it is missing, and said once: {told}");
    for said in ["null", "~"] {
        assert_eq!(rendered(&format!("{GOOD}trusted_proxies: {said}\n")), "");
    }
}

#[test]
fn addresses_that_can_never_be_used_are_mistakes() {
    for (address, more, told) in [
        ("127.0.0.1:8080", ", proxy_protocol: {addresses: [unix]}", "can connect to this listener"),
        ("unix:gate.sock", ", proxy_protocol: {addresses: [10.0.0.1]}", "can connect to this listener"),
        ("127.0.0.1:8080", "}, {address: \"127.0.0.1:8080\"", "another listener has this address"),
        ("unix:gate.sock", "}, {address: \"unix:gate.sock\"", "another listener has this address"),
        ("127.0.0.1:8080", ", health_path: /.well-known/health", "not below `/.well-known`"),
    ] {
        let text = GOOD.replace("127.0.0.1:8080\"", &format!("{address}\"{more}"));
        let found = rendered(&text);
        assert!(found.contains(told), "{more}: {found}");
        assert!(found.contains("help: "), "{found}");
    }
    let free = "127.0.0.1:0\"}, {address: \"127.0.0.1:0\"";
    assert_eq!(rendered(&GOOD.replace("127.0.0.1:8080\"", free)), "");
    for endpoint in ["127.0.0.1:0", "a.test:0", "[::1]:0"] {
        let found = rendered(&GOOD.replace("127.0.0.1:9000", endpoint));
        assert!(found.contains("the port is not a number from 1 to 65535"), "{endpoint}: {found}");
    }
    assert!(
        rendered(&format!("{GOOD}dns: {{servers: ['127.0.0.1:0']}}\n")).contains("not the address of a DNS")
    );
    let mapped =
        format!("{GOOD}trusted_proxies: {{addresses: ['::ffff:10.0.0.0/104', '::ffff:10.0.0.1']}}\n");
    let found = rendered(&mapped);
    assert!(found.contains("write `10.0.0.0/8`") && found.contains("write `10.0.0.1/32`"), "{found}");
}
