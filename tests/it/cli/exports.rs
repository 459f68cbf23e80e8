//! What Google Cloud prints, put into a tree as it is: the way of docs/exports.md, and `opgate import roles`.

use super::check::assert_errors_are_of_use;
use super::{Outcome, Workspace};
use crate::harness::{DATAPROC, Gate, Req, Setup, token};
use crate::readme::pages::{Kind, Page};

/// The policy of a project in the shape of `gcloud projects get-iam-policy`.
const PROJECT: &str = "\
auditConfigs:
- auditLogConfigs:
  - logType: ADMIN_READ
  - exemptedMembers:
    - user:auditor@example.com
    logType: DATA_READ
  service: allServices
bindings:
- members:
  - serviceAccount:service-123456789012@dataproc-accounts.iam.gserviceaccount.com
  - user:ana@example.com
  - deleted:user:max@example.com?uid=123456789012345678901
  role: roles/dataproc.editor
- members:
  - user:bob@example.com
  - principalSet://cloudresourcemanager.googleapis.com/projects/123456789012/type/ServiceAgent
  - principalSet://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/shop.svc.id.goog/namespace/ops
  role: roles/cloudaicompanion.viewer
- condition:
    description: Until the end of the year
    expression: request.time < timestamp(\"2035-01-01T00:00:00Z\")
    title: temporary
  members:
  - user:root@example.com
  role: roles/dataproc.editor
- members:
  - user:root@example.com
  role: roles/owner
etag: BwXhqDVMvEw=
version: 3
";

/// Roles in the shape of `gcloud iam roles describe`.
const ROLES: [(&str, &str); 3] = [
    (
        "roles/cloudaicompanion.viewer",
        "description: Reads.\netag: AA==\nincludedPermissions:\n- cloudaicompanion.operations.get\n\
         - cloudaicompanion.topics.create\nname: roles/cloudaicompanion.viewer\nstage: GA\ntitle: Viewer\n",
    ),
    (
        "roles/dataproc.editor",
        "description: 'Edits: all of it'\netag: AA==\nincludedPermissions:\n- compute.zones.list\n\
         - dataproc.clusters.create\n- dataproc.operations.cancel\n- dataproc.operations.get\nname: roles/dataproc.editor\n\
         stage: GA\ntitle: \"Dataproc: Editor\"\n",
    ),
    (
        "roles/owner",
        "etag: AA==\nincludedPermissions:\n- resourcemanager.projects.get\nname: roles/owner\nstage: GA\ntitle: Owner\n",
    ),
];

/// A `gcloud` that prints these files.
const GCLOUD: &str = "\
#!/bin/sh
case \"$*\" in
'projects get-iam-policy shop') cat export/policy.yaml ;;
'iam roles describe '*) cat \"export/$4.yaml\" ;;
*) echo \"gcloud: $*\" >&2; exit 2 ;;
esac
";

/// The shipped tree, an export, and a `gcloud` that prints it.
fn exporting() -> Workspace {
    let mut workspace = Workspace::new().write("export/policy.yaml", PROJECT).write("bin/gcloud", GCLOUD);
    for (name, text) in ROLES {
        workspace = workspace.write(&format!("export/{name}.yaml"), text);
    }
    let run = workspace.shell("chmod +x bin/gcloud");
    assert_eq!(run.code, Some(0));
    workspace
}

impl Workspace {
    /// A line of shell with the `gcloud` of this workspace.
    fn with_gcloud(&self, line: &str) -> Outcome {
        self.shell(&format!("PATH=$PWD/bin:$PATH; {line}"))
    }
}

/// The newcomer's way: no file is edited by hand.
#[tokio::test]
async fn the_export_of_a_project_goes_to_an_allowed_and_a_refused_call_by_the_commands_of_the_page() {
    let workspace = exporting();
    let mut commands = 0;
    for block in Page::read("docs/exports.md").blocks().iter().filter(|block| block.kind == Kind::Export) {
        for line in block.text.lines() {
            let outcome = workspace.with_gcloud(line);
            assert_eq!(outcome.code, Some(0), "{line}\n{}", outcome.text());
            // What check tells to do next is the next command of the page.
            if commands == 1 {
                let help = outcome.stderr.lines().find(|line| line.trim_start().starts_with("for role in"));
                let told = help.unwrap_or_else(|| panic!("{}", outcome.text())).trim();
                assert!(Page::read("docs/exports.md").text.contains(told), "{told}");
            }
            commands += 1;
        }
    }
    assert_eq!(commands, 6);
    let policies = workspace.path("policies");
    let setting = format!("policy.directory={}", policies.display());
    let gate = Gate::start_with(Setup { set: vec![setting], ..Setup::default() });
    let cancel = "/v1/projects/shop/regions/r/operations/o:cancel";
    let calls = [
        ("ana@example.com", "ALLOWED", "ALLOWED"),
        ("root@example.com", "ALLOWED", "ALLOWED"),
        ("bob@example.com", "DENIED", "IAM_PERMISSION_DENIED"),
    ];
    for (told, (who, decision, why)) in calls.into_iter().enumerate() {
        let answer = gate.http1(&Req::new("POST", DATAPROC, cancel).bearer(&token(who))).await;
        let line = gate.audit(told + 1).remove(told);
        let metadata = &line["protoPayload"]["metadata"];
        assert_eq!(
            (metadata["decision"].as_str(), metadata["reason"].as_str()),
            (Some(decision), Some(why)),
            "{who}"
        );
        assert_eq!(answer.status == 403, decision == "DENIED", "{who}: {}", answer.status);
    }
}

/// Case 35 and 36 of real exports, and a role that nothing defines.
#[test]
fn an_export_loads_with_one_warning_for_its_roles_and_explain_says_that_they_are_not_defined() {
    let workspace = exporting().write("policies/allow/projects/shop.yaml", PROJECT);
    let outcome = workspace.opgate(&["check", "policies"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    insta::assert_snapshot!("an_export_without_its_roles", outcome.text());
    assert_eq!(workspace.opgate(&["check", "policies", "--deny-warnings"]).code, Some(1));
    let explained = workspace.opgate(&[
        "explain",
        "--policies",
        "policies",
        "--time",
        "2026-03-02T12:00:00Z",
        "--principal",
        "user:ana@example.com",
        "POST",
        "https://dataproc.googleapis.com/v1/projects/shop/regions/r/operations/o:cancel",
    ]);
    assert_eq!(explained.code, Some(2), "{}", explained.text());
    insta::assert_snapshot!("a_role_that_is_bound_and_not_defined", explained.stdout);
}

#[test]
fn a_deny_rule_may_except_service_agents() {
    let workspace = Workspace::new().write(
        "policies/deny/projects/demo/agents.yaml",
        "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    exceptionPrincipals:\n    \
         - principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAgent\n    \
         - principalSet://goog/cloudIdentityCustomerId/C01abc35\n    deniedPermissions: [dataproc.googleapis.com/operations.delete]\n",
    );
    let outcome = workspace.opgate(&["check", "policies"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    assert_eq!(outcome.stderr.matches("matches no caller").count(), 2, "{}", outcome.text());
}

/// Case 34: a bucket's policy, and results of the asset inventory.
#[test]
fn policies_of_buckets_and_of_the_asset_inventory_are_read_as_they_are() {
    let policy = r#"{"bindings": [{"members": ["user:zoe@example.com"], "role": "organizations/7/roles/operationsViewer"}], "etag": "CAE="}"#;
    let line = |project: &str| {
        format!(
            r#"{{"name":"//cloudresourcemanager.googleapis.com/projects/{project}","asset_type":"cloudresourcemanager.googleapis.com/Project","iam_policy":{policy},"ancestors":["projects/1"]}}"#
        )
    };
    let roles = "name: roles/storage.legacyBucketOwner\nincludedPermissions: []\n";
    let workspace = Workspace::new()
        .write(
            "policies/allow/projects/_/buckets/b.yaml",
            "bindings:\n- members: ['projectEditor:demo', 'projectOwner:demo']\n  role: roles/storage.legacyBucketOwner\n\
             etag: CAE=\nkind: storage#policy\nresourceId: projects/_/buckets/b\nversion: 1\n",
        )
        .write("policies/roles/bucket.yaml", roles)
        .write("policies/allow/projects/other/regions/r.json", policy)
        .write("policies/hierarchy.yaml", "projects/demo: folders/42\nfolders/42: organizations/7\nprojects/other: organizations/7\nprojects/third: organizations/7\n")
        .write("policies/allow/projects/third.json", &line("third"));
    let outcome = workspace.opgate(&["check", "policies"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    let can = workspace.opgate(&["what-can", "user:zoe@example.com", "--policies", "policies"]);
    assert!(can.stdout.contains("on projects/third and below"), "{}", can.text());

    let lines = format!("{}\n{}\n", line("third"), line("fourth"));
    let workspace = workspace.write("policies/allow/projects/third.json", &lines);
    let outcome = workspace.opgate(&["check", "policies"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.text());
    assert_errors_are_of_use(&outcome.stderr);
    assert!(
        outcome.stderr.contains(r#"jq 'select(.name | endswith("/projects/third")) | .iam_policy' FILE"#),
        "{}",
        outcome.text()
    );
}

/// Any number of documents, with or without a line between them, and JSON.
#[test]
fn roles_are_imported_from_documents_and_lists_with_the_permissions_that_are_asked_for() {
    let documents: String = ROLES.iter().map(|(_, text)| format!("---\n{text}")).collect();
    let run_together: String = ROLES.iter().map(|(_, text)| *text).collect();
    let json = r#"[{"name": "roles/dataproc.editor", "includedPermissions": ["dataproc.operations.cancel", "dataproc.operations.get", "compute.zones.list", "dataproc.clusters.create"], "title": "Dataproc: Editor", "stage": "GA"}]"#;
    for (input, count) in
        [(&*documents, 3), (&*run_together, 3), (json, 1), (&format!("{{\"roles\": {json}}}"), 1)]
    {
        let workspace = Workspace::new().write("roles.txt", input);
        let outcome = workspace.opgate(&["import", "roles", "roles.txt", "--policies", "policies"]);
        assert_eq!(outcome.code, Some(0), "{input}\n{}", outcome.text());
        assert!(outcome.stdout.starts_with(&format!("{count} role")), "{}", outcome.text());
        let written = std::fs::read_to_string(workspace.path("policies/roles/dataproc.editor.yaml")).unwrap();
        assert_eq!(
            written,
            "# Made by `opgate import roles`: 2 of 4 permissions, those that exposed methods ask for.\n\
             name: roles/dataproc.editor\ntitle: \"Dataproc: Editor\"\nstage: \"GA\"\nincludedPermissions:\n\
             - dataproc.operations.cancel\n- dataproc.operations.get\n"
        );
        let again = workspace.opgate(&["import", "roles", "roles.txt", "--out", "policies/roles"]);
        assert!(again.stdout.starts_with("0 roles written"), "{}", again.text());
        assert_eq!(workspace.opgate(&["check", "policies"]).code, Some(0));
    }
}

#[test]
fn an_import_that_is_not_possible_writes_nothing_and_says_why() {
    let workspace = Workspace::new()
        .write(
            "listed.yaml",
            "---\nname: roles/viewer\ntitle: Viewer\n---\nname: roles/editor\ntitle: Editor\n",
        )
        .write("empty.yaml", "---\n---\n")
        .write("policy.yaml", PROJECT)
        .write("outside.yaml", "name: projects/../roles/x\nincludedPermissions: []\n")
        .write(
            "twice.yaml",
            "name: roles/x\nincludedPermissions: [a.b.c]\n---\nname: roles/x\nincludedPermissions: [a.b.d]\n",
        );
    let always = ["--policies", "policies"];
    let of = |file: &'static str| [&["import", "roles", file][..], &always].concat();
    let commands =
        ["listed.yaml", "empty.yaml", "policy.yaml", "outside.yaml", "twice.yaml", "absent.yaml"].map(of);
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    for arguments in &commands {
        let outcome = workspace.opgate(arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), ""), "{}", outcome.text());
        assert_errors_are_of_use(&outcome.stderr);
    }
    insta::assert_snapshot!(super::outputs(&workspace, &commands));
    let roles = std::fs::read_dir(workspace.path("policies/roles")).unwrap().count();
    assert_eq!(roles, 3);
}

/// A file that its owner wrote is not replaced.
#[test]
fn an_import_leaves_roles_alone_that_it_did_not_make() {
    let own = "name: roles/dataproc.editor\nincludedPermissions: [dataproc.operations.get]\n";
    let workspace =
        Workspace::new().write("policies/roles/mine.yaml", own).write("roles.txt", ROLES[1].1).write(
            "policies/allow/projects/demo/regions/r.yaml",
            "bindings:\n- {role: roles/dataproc.editor, members: ['user:ana@example.com']}\n",
        );
    let outcome = workspace.opgate(&[
        "import",
        "roles",
        "roles.txt",
        "--config",
        "config/opgate.yaml",
        "--output",
        "json",
    ]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(json["roles"][0]["state"], "LEFT_ALONE");
    assert_eq!(json["diagnostics"][0]["place"]["file"], "policies/roles/mine.yaml");
    assert_eq!(std::fs::read_to_string(workspace.path("policies/roles/mine.yaml")).unwrap(), own);
    assert!(!workspace.path("policies/roles/dataproc.editor.yaml").exists());
}
