use super::*;
use crate::diagnostic::Source;
use crate::document;

fn read(text: &str) -> (Option<Role>, Report) {
    read_knowing(text, &[])
}

fn read_knowing(text: &str, known: &[(String, Place)]) -> (Option<Role>, Report) {
    let mut report = Report::new();
    let node = document::parse(&Source::new("roles/role.yaml", text), &mut report).unwrap();
    let role = Role::read(&node, known, &mut report);
    (role, report)
}

#[test]
fn a_role_is_read_as_gcloud_prints_it() {
    let (role, report) = read(
        "description: Reads.\netag: AA==\nincludedPermissions:\n\
         - dataproc.operations.get\n- iam.googleapis.com/workforcePools.get\nname: roles/dataproc.viewer\nstage: GA\ntitle: Viewer\n",
    );
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    let role = role.unwrap();
    assert_eq!(role.name, "roles/dataproc.viewer");
    assert_eq!(role.stage, LaunchStage::Ga);
    assert_eq!(role.permissions(), ["dataproc.operations.get", "iam.googleapis.com/workforcePools.get"]);
}

#[test]
fn an_absent_stage_is_alpha_and_grants() {
    let (role, _) = read("name: roles/x\nincluded_permissions: [a.b.c]\n");
    let role = role.unwrap();
    assert_eq!((role.stage, role.permissions().len()), (LaunchStage::Alpha, 1));
}

#[test]
fn disabled_and_deleted_roles_hold_nothing() {
    for line in ["stage: DISABLED", "deleted: true"] {
        let (role, report) = read(&format!("name: roles/x\n{line}\nincludedPermissions: [a.b.c]\n"));
        assert!(!report.is_fatal());
        assert!(role.unwrap().permissions().is_empty(), "{line}");
    }
    for line in ["stage: DEPRECATED", "stage: EAP", "stage: BETA", "deleted: false"] {
        let (role, _) = read(&format!("name: roles/x\n{line}\nincludedPermissions: [a.b.c]\n"));
        assert_eq!(role.unwrap().permissions(), ["a.b.c"], "{line}");
    }
}

#[test]
fn names_have_three_forms() {
    for name in ["roles/owner", "roles/dataproc.viewer", "projects/p/roles/x", "organizations/7/roles/x_y.z"]
    {
        assert!(is_role_name(name), "{name}");
    }
    for name in [
        "owner",
        "roles/",
        "roles/a/b",
        "role/x",
        "folders/1/roles/x",
        "projects//roles/x",
        "roles/x y",
        "/roles/x",
        "roles/*",
    ] {
        assert!(!is_role_name(name), "{name}");
    }
    assert_eq!(owner("roles/x"), None);
    assert_eq!(owner("projects/p/roles/x"), Some("projects/p"));
}

#[test]
fn every_mistake_is_reported() {
    let (_, report) = read(
        "name: operations-viewer\ntitle: 7\nstage: ga\nincludedPermissions:\n\
         - dataproc.operations.*\n- dataproc.get\n- dataproc..get\n- 7\n- dataproc.googleapis.com/operations.get\n\
         deleted: maybe\npermissions: []\n",
    );
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn a_slip_of_the_pen_is_told() {
    let place = Place { file: "services/dataproc.iam.yaml".into(), line: 4 };
    let known = ["get", "cancel"].map(|verb| (format!("dataproc.operations.{verb}"), place.clone()));
    let (role, report) = read_knowing(
        "name: roles/x\nincludedPermissions:\n- dataproc.operations.cancle\n- dataproc.operation.get\n\
         - dataproc.operations.get\n- dataproc.operations.set\n",
        &known,
    );
    assert_eq!(role.unwrap().permissions().len(), 4);
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn a_name_is_defined_once() {
    let mut report = Report::new();
    let mut roles = Roles::default();
    for file in ["roles/a.yaml", "roles/b.yaml"] {
        let source = Source::new(file, "title: X\nname: roles/x\n");
        let node = document::parse(&source, &mut report).unwrap();
        roles.add(Role::read(&node, &[], &mut report).unwrap(), &mut report);
    }
    assert_eq!(roles.len(), 1);
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn googles_own_roles_load() {
    let Some(corpora) = std::env::var_os("OPGATE_CORPORA") else {
        eprintln!("skipped: OPGATE_CORPORA is not set");
        return;
    };
    let mut report = Report::new();
    let folder = std::path::Path::new(&corpora).join("roles");
    let texts = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        (format!("roles/{name}"), std::fs::read_to_string(&path).unwrap())
    });
    let files = PolicyFiles::in_memory("", texts);
    let roles = Roles::load(&files, &[], &mut report);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    assert_eq!(roles.len(), 11);
    let cancels = |name: &str| {
        let permissions = roles.find(name).unwrap().permissions();
        permissions.iter().any(|permission| permission.ends_with(".operations.cancel"))
    };
    for name in ["roles/cloudaicompanion.admin", "roles/cloudtranslate.editor", "roles/dataproc.editor"] {
        assert!(cancels(name), "{name}");
    }
    for name in ["roles/cloudaicompanion.user", "roles/cloudtranslate.user", "roles/dataproc.viewer"] {
        assert!(!cancels(name), "{name}");
    }
}
