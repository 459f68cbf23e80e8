//! Deny rules on tags: `policies/tags.yaml` decides, and the nearest entry wins.

use crate::harness::{COMPANION, Gate, Req, Setup, Tree, reason, token};

const FREEZE: &str = "rules:\n\
    - denyRule:\n\
    \x20   deniedPrincipals: ['principalSet://goog/public:all']\n\
    \x20   deniedPermissions: ['cloudaicompanion.googleapis.com/operations.cancel']\n\
    \x20   denialCondition:\n\
    \x20     expression: resource.matchTag('123456789012/env', 'prod')\n";
const TAGS: &str = "folders/42: {123456789012/env: prod}\n\
    projects/demo/locations/europe-west1: {123456789012/env: dev}\n";

/// A gate with a deny rule for resources that are tagged as frozen.
fn frozen(tags: Option<&str>) -> (Gate, Tree) {
    let tree = Tree::shipped();
    tree.write("deny/organizations/7/freeze.yaml", FREEZE);
    if let Some(tags) = tags {
        tree.write("tags.yaml", tags);
    }
    (Gate::start_with(Setup { set: vec![tree.setting()], ..Setup::default() }), tree)
}

#[tokio::test]
pub async fn a_deny_rule_on_a_tag_holds_where_the_tag_is_set() {
    let (gate, _tree) = frozen(Some(TAGS));
    for (who, project, location, allowed) in [
        // Tagged by its folder; tagged otherwise itself; not tagged.
        ("ana@example.com", "demo", "us-central1", false),
        ("ana@example.com", "demo", "europe-west1", true),
        ("erin@example.com", "other", "us-central1", true),
    ] {
        let target = format!("/v1/projects/{project}/locations/{location}/operations/o1:cancel");
        let seen = gate.backend.requests().len();
        let answer = gate.http1(&Req::new("POST", COMPANION, &target).bearer(&token(who))).await;
        let reached = gate.backend.requests().len() - seen;
        assert_eq!(reached, usize::from(allowed), "{target}: {}", answer.status);
        if !allowed {
            assert_eq!(reason(&answer), "IAM_PERMISSION_DENIED", "{target}");
        }
    }
}

/// Without the file, no tag is known and the condition cannot be evaluated: then the rule applies, as at Google.
#[tokio::test]
pub async fn a_deny_rule_that_cannot_be_evaluated_denies() {
    let (gate, _tree) = frozen(None);
    for (who, project) in [("ana@example.com", "demo"), ("erin@example.com", "other")] {
        let target = format!("/v1/projects/{project}/locations/europe-west1/operations/o1:cancel");
        let answer = gate.http1(&Req::new("POST", COMPANION, &target).bearer(&token(who))).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (403, "IAM_PERMISSION_DENIED"), "{target}");
    }
    assert!(gate.backend.requests().is_empty());
    let rule = &gate.audit(2)[0]["protoPayload"]["metadata"]["rule"]["place"];
    assert!(rule.as_str().unwrap().contains("freeze.yaml"), "{rule}");
}
