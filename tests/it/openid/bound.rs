//! Tokens that the provider binds to a key of the client: by DPoP (RFC 9449) and certificates (RFC 8705), as JWTs and
//! as opaque tokens. The provider shares no code with the gate, which checks the binding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{CANCEL, OPAQUE, Provider, allowed, cancel, installed, outcome_with, secret};
use crate::authority::Authority;
use crate::connection::Connection;
use crate::harness::{COMPANION, Gate, Setup, outcome};
use crate::possession::{Holder, prove};

/// A gate that trusts the provider, by its keys or by introspection.
fn gate(provider: &Provider, form: &str, secret: &std::path::Path, more: Vec<String>) -> Gate {
    let mut set = match form {
        OPAQUE => provider.asked(secret),
        _ => vec![
            format!("issuers.demo.issuer={}", provider.issuer),
            format!("issuers.demo.keys={}", json!({ "discovery": "openid" })),
        ],
    };
    set.extend(more);
    Gate::start_with(Setup { set, ..Setup::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_real_provider_binds_to_a_key_is_good_for_its_holder_alone() {
    let Some(folder) = installed() else { return };
    let provider = Provider::start(folder);
    let secret = secret();
    for form in ["", OPAQUE] {
        let gate = gate(&provider, form, secret.path(), Vec::new());
        let key = Holder::new_key();
        let proof = prove(&key, None, &format!("{}/token", provider.issuer), json!({}));
        let thumbprint = key.kid().to_owned();
        let token = provider.token_with("tests", form, &[("dpop", &proof)]).await;
        let holder = Holder::with_key(key, token);
        let authorization = format!("DPoP {}", holder.token);
        let request = cancel().header("authorization", &authorization);
        let proven =
            request.clone().header("dpop", &holder.proof(&format!("http://{COMPANION}{CANCEL}"), json!({})));
        assert_eq!(outcome(&gate.http1(&proven).await), allowed(), "{}", gate.log());
        assert_eq!(
            gate.audit(1)[0]["protoPayload"]["metadata"]["confirmation"],
            json!({ "jkt": thumbprint })
        );
        // A used proof; no proof; and the proof that got the token, which names another URL and no token.
        let other = request.clone().header("dpop", &proof);
        for request in [proven, request, other] {
            assert_eq!(outcome(&gate.http2(&request).await), (401, "DPOP_PROOF_INVALID".to_owned()));
        }
        assert_eq!(outcome_with(&gate, &holder.token).await, (401, "JWT_TOKEN_INVALID".to_owned()));
        assert_eq!(gate.backend.requests().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_real_provider_binds_to_a_certificate_is_good_for_its_holder_alone() {
    let Some(folder) = installed() else { return };
    let provider = Provider::start(folder);
    let secret = secret();
    let (server, clients) = (Authority::new(), Authority::new());
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = server.issue(&[COMPANION]).write(files.path(), "server");
    let ca = files.path().join("clients-ca.pem");
    std::fs::write(&ca, clients.pem()).unwrap();
    let tls = json!({
        "certificates": [{ "cert": cert, "key": key }], "client_ca": ca, "client_certificates": "optional",
    });
    let (own, other) = (clients.issue_to(&["spiffe://test/own"]), clients.issue_to(&["spiffe://test/other"]));
    for form in ["", OPAQUE] {
        let gate = gate(&provider, form, secret.path(), vec![format!("listeners.0.tls={tls}")]);
        let shown = STANDARD.encode(&own.certificates()[0]);
        let token = provider.token_with("certified", form, &[("client-certificate", &shown)]).await;
        let refused = (401, "JWT_TOKEN_INVALID".to_owned());
        for (client, expected) in [
            (server.client().showing(&own), allowed()),
            (server.client().showing(&other), refused.clone()),
            (server.client(), refused),
        ] {
            let stream = client.connect(gate.address, COMPANION).await.unwrap();
            let mut connection = Connection::over(stream);
            connection.send(cancel().bearer(&token).to_http1()).await;
            assert_eq!(outcome(&connection.answer().await.unwrap()), expected, "{}", gate.log());
        }
        assert_eq!(gate.backend.requests().len(), 1);
    }
}
