//! Deny rules that once loaded without a warning and matched no principal: each is now refused with its place, or
//! holds.

use crate::harness::front::{self, Front};
use crate::harness::{COMPANION, Gate, Req, Setup, Tree, opgate, reason, root, token};

const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";

fn denies(principal: &str) -> String {
    format!(
        "rules:\n- denyRule:\n    deniedPrincipals: ['{principal}']\n    \
         deniedPermissions: ['cloudaicompanion.googleapis.com/operations.cancel']\n"
    )
}

/// May cancel in every project of the folder.
const CI: &str = "ci@demo.iam.gserviceaccount.com";

/// The shipped policies and a deny policy.
fn denying(path: &str, deny: &str) -> Tree {
    let tree = Tree::shipped();
    tree.write(&format!("deny/{path}"), deny);
    tree
}

/// The output of `opgate check` for a gate whose issuer maps a team, and its exit code.
fn checked(tree: &Tree, more: &[&str]) -> (Option<i32>, String) {
    let output = opgate()
        .args(["check", "--config"])
        .arg(root().join("config/opgate.yaml"))
        .args(["--set", &tree.setting()])
        .args(["--set", &format!("issuers.staff.subject_pool={POOL}")])
        .args([
            "--set",
            "issuers.staff.attribute_mapping={google.subject: assertion.sub, attribute.team: assertion.team}",
        ])
        .args(more)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_deny_rule_that_matches_no_principal_is_refused() {
    let pool = |name: &str| POOL.replace("staff", name);
    for principal in [
        format!("principalSet://{POOL}/attribute.team"),
        format!("principalSet://{POOL}/attribute.team/*"),
        format!("principalSet://{POOL}/attribute.tema/x"),
        format!("principalSet://{POOL}/group/*"),
        format!("principalSet://{POOL}/group/oncall"),
        format!("principal://{POOL}/subject/*"),
        "principalSet://iam.googleapis.com/*".to_owned(),
        format!("principalSet://{}/*", pool("stuff")),
    ] {
        let (code, stderr) = checked(&denying("projects/demo/d.yaml", &denies(&principal)), &[]);
        assert_eq!(code, Some(3), "{principal}: {stderr}");
        assert!(
            stderr.contains("matches no caller") && stderr.contains("d.yaml:3:"),
            "{principal}: {stderr}"
        );
    }
    for name in
        ["projects/*", "projects/de%6do", "projects/DEMO", "projects/demo ", "Projects/demo", "folder/42"]
    {
        let deny = denies("principalSet://goog/public:all");
        let (code, stderr) = checked(&denying(&format!("{name}/d.yaml"), &deny), &[]);
        assert_eq!(code, Some(3), "{name}: {stderr}");
        assert!(stderr.contains("denies nothing"), "{name}: {stderr}");
    }
}

#[test]
fn a_deny_rule_on_a_pool_that_the_operator_names_is_accepted() {
    let others = POOL.replace("staff", "partners");
    let tree = denying("projects/demo/d.yaml", &denies(&format!("principalSet://{others}/group/x")));
    let (code, stderr) = checked(&tree, &[]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("policy.foreign_pools"), "{stderr}");
    let (code, stderr) = checked(&tree, &["--set", &format!("policy.foreign_pools=[{others}]")]);
    assert_eq!(code, Some(0), "{stderr}");
}

#[tokio::test]
pub async fn a_deny_rule_holds_by_the_number_and_by_the_id_of_a_project() {
    let tree = denying(
        "projects/demo/d.yaml",
        &denies(&format!("principal://iam.googleapis.com/projects/-/serviceAccounts/{CI}")),
    );
    // The gate starts with the project's line in the hierarchy replaced by others.
    let start = |from: &str, to: &str| {
        tree.edit("hierarchy.yaml", from, to);
        Gate::start_with(Setup { set: vec![tree.setting()], ..Setup::default() })
    };
    let cancel = |project: &str| {
        let target = format!("/v1/projects/{project}/locations/us-central1/operations/o1:cancel");
        Req::new("POST", COMPANION, &target).bearer(&token(CI))
    };
    // Two projects in one folder: the rule is on the first alone.
    let two = "projects/demo: folders/42\nprojects/123456: folders/42";
    let gate = start("projects/demo: folders/42", two);
    assert_eq!(gate.http1(&cancel("demo")).await.status, 403);
    assert_ne!(gate.http1(&cancel("123456")).await.status, 403);
    assert_eq!(gate.backend.requests().len(), 1, "the number alone is not denied");
    drop(gate);
    // One project with two names.
    let gate = start(two, "projects/demo: {parent: folders/42, projectNumber: 123456}");
    for project in ["demo", "123456"] {
        let answer = gate.http1(&cancel(project)).await;
        assert_eq!((answer.status, reason(&answer)), (403, "IAM_PERMISSION_DENIED".to_owned()));
    }
    assert_eq!(gate.backend.requests().len(), 0);
    // Traefik is asked once for its routes, before it is used.
    let others = usize::from(front::current() == Some(Front::Traefik));
    let lines = gate.audit(2 + others);
    let denied = lines.iter().filter(|line| line.to_string().contains("d.yaml")).count();
    assert_eq!(denied, lines.len() - others, "the rule decided");
}
