//! Deny rules with conditions on the request, which a client can spell in several ways.

use crate::harness::{COMPANION, Gate, Req, Setup, Tree, reason, token};

const SECRET: &str = "rules:\n\
    - denyRule:\n\
    \x20   deniedPrincipals: ['principalSet://goog/public:all']\n\
    \x20   deniedPermissions: ['cloudaicompanion.googleapis.com/operations.cancel']\n\
    \x20   denialCondition:\n\
    \x20     expression: request.path.endsWith('/operations/secret:cancel')\n";

#[tokio::test]
pub async fn an_encoded_path_is_denied_like_the_plain_one() {
    let tree = Tree::shipped();
    tree.write("deny/organizations/7/secret.yaml", SECRET);
    let gate = Gate::start_with(Setup { set: vec![tree.setting()], ..Setup::default() });
    for (operation, allowed) in [("open", true), ("secret", false), ("%73ecret", false), ("secre%74", false)]
    {
        let target = format!("/v1/projects/demo/locations/us-central1/operations/{operation}:cancel");
        let seen = gate.backend.requests().len();
        let answer =
            gate.http1(&Req::new("POST", COMPANION, &target).bearer(&token("ana@example.com"))).await;
        assert_eq!(gate.backend.requests().len() - seen, usize::from(allowed), "{target}: {}", answer.status);
        if !allowed {
            assert_eq!(reason(&answer), "IAM_PERMISSION_DENIED", "{target}");
        }
    }
}
