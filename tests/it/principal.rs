//! `X-Opgate-Principal`: one value that decodes to the principal, whatever names an identity provider allows.

use serde_json::{Value, json};

use crate::harness::{Gate, Req, Setup, TRANSLATION, token_with};
use crate::recorder::{Recorder, field};

const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";
const ROOT: &str = "user:root@example.com";

/// A gate whose issuer names people by `sub`, as subjects of `pool`, in front of a backend that keeps bytes.
fn gate(pool: &str) -> (Gate, Recorder) {
    let backend = Recorder::start();
    let setup = Setup {
        endpoints: Some(vec![backend.address()]),
        set: vec![format!("issuers.demo.subject_pool={pool}")],
        ..Setup::default()
    };
    (Gate::start_with(setup), backend)
}

/// Any token with a scope may call this.
fn cancel(subject: &Value) -> Req {
    let token = token_with("x", json!({ "email": null, "email_verified": null, "sub": subject }));
    Req::new("POST", TRANSLATION, "/v3/projects/demo/operations/batch-1:cancel").bearer(&token)
}

/// The elements for a backend that reads the field as a list (RFC 9110, section 5.6.1), with parameters.
fn elements(head: &str) -> Vec<String> {
    let lines = field(head, "x-opgate-principal");
    lines.iter().flat_map(|line| line.split([',', ';', ' '])).map(str::to_owned).collect()
}

fn decoded(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned()
}

#[tokio::test]
async fn a_subject_with_a_comma_is_one_element_that_decodes_to_it() {
    let (gate, backend) = gate(POOL);
    for subject in [
        "x, user:root@example.com",
        "x,user:root@example.com",
        "x;user:root@example.com",
        "x user:root@example.com",
        " user:root@example.com",
        "x\" ,\"user:root@example.com",
        "x%2Cuser:root@example.com",
        "x%2cuser:root@example.com%",
        "x=user:root@example.com&y",
        "x+user:root@example.com",
        "'x'\\`(user:root@example.com)<>{}[]|^~!*#?$",
        "zoë, user:root@example.com",
        "x\u{ff0c}user:root@example.com",
        "x\u{2028}user:root@example.com",
        "*",
    ] {
        for answer in gate.over_both(&cancel(&json!(subject))).await {
            assert_eq!(answer.status, 200, "{subject:?}");
        }
        let heads = backend.take();
        assert_eq!(heads.len(), 2);
        for head in heads {
            let elements = elements(&head);
            assert_eq!(elements.len(), 1, "{subject:?}: {head}");
            assert!(!elements.iter().any(|element| element == ROOT), "{head}");
            assert_eq!(decoded(&elements[0]), format!("principal://{POOL}/subject/{subject}"));
        }
    }
}

#[tokio::test]
async fn an_ordinary_principal_is_written_as_policies_write_it() {
    let (gate, backend) = gate(POOL);
    for subject in ["ana", "spiffe://a.test/ns/x", "repo:octo/hello:ref:refs/heads/main", "a-b_c.d~e@f"] {
        assert_eq!(gate.http1(&cancel(&json!(subject))).await.status, 200);
        let head = backend.take().remove(0);
        let written = format!("principal://{POOL}/subject/{subject}");
        assert_eq!(field(&head, "x-opgate-principal"), [written]);
    }
}

/// A subject that holds a control character, or none at all, is not a caller.
#[tokio::test]
async fn a_subject_that_no_policy_can_name_is_refused() {
    let (gate, backend) = gate(POOL);
    for subject in [
        "x\nX-Opgate-Principal: user:root@example.com",
        "x\r\n, user:root@example.com",
        "x\0",
        "x\tuser:root@example.com",
        "x\u{85}user:root@example.com",
        "",
        &"ü".repeat(128),
    ] {
        for answer in gate.over_both(&cancel(&json!(subject))).await {
            assert_eq!(answer.status, 401, "{subject:?}");
        }
    }
    assert_eq!(backend.take(), Vec::<String>::new());
}
