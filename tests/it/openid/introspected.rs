//! Opaque tokens of the provider. The gate asks the provider about them.

use std::time::{Duration, Instant};

use super::{OPAQUE, Provider, allowed, installed, outcome_with, secret};
use crate::harness::{Gate, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_of_a_real_provider_is_good_until_it_is_revoked() {
    let Some(folder) = installed() else { return };
    let provider = Provider::start(folder);
    let secret = secret();
    let gate = Gate::start_with(Setup { set: provider.asked(secret.path()), ..Setup::default() });
    let token = provider.token_with("tests", OPAQUE, &[]).await;
    assert!(!token.contains('.'), "the token is not opaque");
    assert_eq!(outcome_with(&gate, &token).await, allowed(), "{}", gate.log());
    let [line] = &gate.audit(1)[..] else { panic!() };
    assert_eq!(line["protoPayload"]["authenticationInfo"]["principalEmail"], "ana@example.com");

    // Another token of the same client, which is not revoked.
    let other = provider.token_with("tests", OPAQUE, &[]).await;
    assert_eq!(outcome_with(&gate, &other).await, allowed());
    let revoked = provider.post("/token/revocation", "tests", &format!("token={token}"), &[]).await;
    assert_eq!(revoked.status, 200);
    // The gate forgets the token after a second; until then it may say either, but never that it cannot tell.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match outcome_with(&gate, &token).await {
            (200, _) => assert!(Instant::now() < deadline, "the token is still good"),
            refused => {
                assert_eq!(refused, (401, "JWT_TOKEN_INVALID".to_owned()));
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(outcome_with(&gate, &other).await, allowed());
    // An invented token, and a token with another audience, which is a JWT: the gate does not ask about a JWT.
    assert_eq!(outcome_with(&gate, "invented").await, (401, "JWT_TOKEN_INVALID".to_owned()));
    assert_eq!(outcome_with(&gate, &provider.token().await).await, (401, "JWT_TOKEN_INVALID".to_owned()));
    let metrics = gate.metrics().await;
    for (outcome, is_expected) in [("active", true), ("inactive", true), ("failed", false)] {
        let asked = format!("opgate_token_lookups_total{{issuer=\"provider\",outcome=\"{outcome}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&asked)).expect(&metrics);
        assert_eq!(count != "0", is_expected, "{outcome}: {count}\n{}", gate.log());
    }
}
