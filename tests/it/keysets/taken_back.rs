//! Keys that their issuer withdraws: it has to answer so twice; then no token of theirs is good.

use opgate::dev::mint::Mint;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scene::{keys, new_key};
use super::server::{Answer, KeyServer};
use crate::harness::{CANCEL, CLOUD_PLATFORM, COMPANION, Gate, Req, Setup, claims, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_answers_without_a_key_withdraws_its_keys_within_seconds_and_it_is_told() {
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "a", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" }] });
    for none in [json!({ "keys": [] }), secret] {
        let key = new_key("a");
        let server = KeyServer::start(Answer::keys(&[&key])).await;
        let set = vec![keys(json!({ "url": server.url("http") }))];
        let setup = Setup { set, ..Setup::default() };
        let gate = tokio::task::spawn_blocking(|| Gate::start_with(setup)).await.unwrap();
        let token = key.sign(&claims("ana@example.com", &[CLOUD_PLATFORM])).unwrap();
        let good = Req::new("POST", COMPANION, CANCEL).bearer(&token);
        assert_eq!(gate.http1(&good).await.status, 200);

        server.says(Answer::json(&none));
        // This token makes the gate fetch now; otherwise it would fetch within its interval.
        let invented = new_key("invented").sign(&claims("ana@example.com", &[CLOUD_PLATFORM])).unwrap();
        let since = Instant::now();
        gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer(&invented)).await;
        loop {
            let answer = gate.http1(&good).await;
            match answer.status {
                401 => break assert_eq!(reason(&answer), "JWT_TOKEN_INVALID"),
                status => assert!(status == 200 || status == 503, "{status}"),
            }
            assert!(since.elapsed() < Duration::from_secs(10), "still believed:\n{}", gate.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("withdrawn after {:?}", since.elapsed());
        let ready = gate.admin("/readyz").await;
        let state: Value = serde_json::from_slice(&ready.body).unwrap();
        assert!(state.to_string().contains("the issuer has withdrawn all its keys"), "{state}");
        let metrics = gate.metrics().await;
        assert!(metrics.contains("opgate_jwks_keys{issuer=\"demo\"} 0\n"), "{metrics}");
        assert!(metrics.contains("outcome=\"withdrawn\""), "{metrics}");
        assert!(gate.log().contains("the issuer has withdrawn all its keys"), "{}", gate.log());
    }
}
