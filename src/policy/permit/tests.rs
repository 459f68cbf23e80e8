use std::sync::Arc;

use super::super::tests::{CANCELLER, OPERATION, grants, load, loaded};
use super::*;
use crate::catalog::{BodyRule, Exposure, Method, ResourceTemplate};
use crate::diagnostic::Place;
use crate::principal::{Principal, PrincipalSets};

fn call(permission: PermissionRule, allow_without_credential: bool) -> Arc<Call> {
    let service = Exposure {
        id: "demo".to_owned(),
        name: "demo.googleapis.com".to_owned(),
        hosts: vec!["*".to_owned()],
        upstream: "demo".to_owned(),
        forwarding: Default::default(),
        cors: None,
        protected_resource: None,
        error_domain: "demo.googleapis.com".to_owned(),
    };
    let method = Method {
        index: 0,
        service: Arc::new(service),
        name: "google.longrunning.Operations.CancelOperation".to_owned(),
        permission,
        scopes: Vec::new(),
        allow_without_credential,
        requirements: Vec::new(),
        resource: ResourceTemplate::variable("name"),
        resource_type: None,
        permission_type: None,
        operation: None,
        unimplemented: false,
        rpc: None,
        rpc_fault: None,
        limits: crate::catalog::MethodLimits::default(),
        place: Place { file: "services/demo.iam.yaml".into(), line: 3 },
    };
    let bindings = vec![("name".into(), OPERATION.to_owned())];
    Arc::new(Call {
        method: Arc::new(method),
        bindings,
        body: BodyRule::EmptyMessage,
        body_field: None,
        transcoding: None,
        resource_name: None,
        is_head_of_get: false,
    })
}

fn cancel() -> PermissionRule {
    PermissionRule::Required("demo.operations.cancel".to_owned())
}

fn caller(email: &str) -> Option<Arc<Caller>> {
    Some(Arc::new(Caller {
        issuer: "test".into(),
        subject: None,
        principal: Principal::from_email(email).unwrap(),
        sets: PrincipalSets::default(),
        scopes: Default::default(),
        confirmation: None,
        own_key: None,
        expires: NOW,
        claims: Default::default(),
    }))
}

fn policy(member: &str) -> Policy {
    loaded(&[("allow/projects/demo.yaml", &grants("roles/canceller", member))])
}

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn now() -> Attributes<'static> {
    Attributes::at(NOW)
}

#[test]
fn a_permit_carries_what_was_decided() {
    let permit = policy("user:ana@example.com")
        .authorize(&call(cancel(), false), caller("ana@example.com").as_ref(), now())
        .unwrap();
    assert_eq!(permit.call().resource(), OPERATION);
    assert_eq!(permit.caller().unwrap().principal.as_str(), "user:ana@example.com");
    assert_eq!(permit.decided_at(), NOW);
    let Grant::Binding(granted) = permit.grant() else { panic!("{:?}", permit.grant()) };
    assert_eq!(&*granted.role, "roles/canceller");
    assert_eq!(&*granted.member, "user:ana@example.com");
    assert_eq!(&*granted.resource, "projects/demo");
    assert!(granted.place.file.ends_with("allow/projects/demo.yaml"));
    assert_eq!(granted.place.line, 2);
}

#[test]
fn a_denial_has_googles_words_and_keeps_policy_to_itself() {
    let denial = policy("user:ana@example.com")
        .authorize(&call(cancel(), false), caller("eve@example.com").as_ref(), now())
        .unwrap_err();
    assert_eq!(denial.reason(), Reason::PermissionDenied);
    assert_eq!(
        denial.public_message(),
        "Permission 'demo.operations.cancel' denied on resource \
         '//demo.googleapis.com/projects/demo/locations/eu/operations/o' (or it may not exist)."
    );
    assert_eq!(denial.error_domain(), "demo.googleapis.com");
    assert_eq!(
        denial.metadata_entries(),
        [("resource", OPERATION.to_owned()), ("permission", "demo.operations.cancel".to_owned())]
    );
    assert_eq!(
        denial.detail(),
        "no binding on `projects/demo/locations/eu/operations/o` or above grants `demo.operations.cancel` to \
         user:eve@example.com: none names them"
    );
    assert!(denial.deciding_rule().is_none());
}

#[test]
fn the_anonymous_are_invited_to_sign_in() {
    for (member, optional) in
        [("allUsers", false), ("allAuthenticatedUsers", true), ("user:ana@example.com", true)]
    {
        let denial = policy(member).authorize(&call(cancel(), optional), None, now()).unwrap_err();
        assert_eq!(denial.reason(), Reason::CredentialsMissing, "{member}");
        assert_eq!(
            denial.metadata_entries(),
            [
                ("service", "demo.googleapis.com".to_owned()),
                ("method", "google.longrunning.Operations.CancelOperation".to_owned())
            ]
        );
    }
    let permit = policy("allUsers").authorize(&call(cancel(), true), None, now()).unwrap();
    assert!(permit.caller().is_none());
}

#[test]
fn a_method_without_permission_asks_for_a_caller_alone() {
    let policy = policy("user:ana@example.com");
    let permit = policy
        .authorize(&call(PermissionRule::None, false), caller("eve@example.com").as_ref(), now())
        .unwrap();
    assert_eq!(permit.grant(), &Grant::NoPermissionAsked);
    assert!(policy.authorize(&call(PermissionRule::None, true), None, now()).is_ok());
    let denial = policy.authorize(&call(PermissionRule::None, false), None, now()).unwrap_err();
    assert_eq!(denial.reason(), Reason::CredentialsMissing);
}

#[test]
fn the_resource_comes_from_the_methods_own_field() {
    let mut without = Call::clone(&call(cancel(), false));
    without.bindings = vec![("parent".into(), OPERATION.to_owned())];
    let policy = policy("user:ana@example.com");
    assert!(policy.authorize(&Arc::new(without), caller("ana@example.com").as_ref(), now()).is_err());
}

#[test]
fn a_broken_tree_permits_no_caller() {
    let (policy, _) = load(&[
        CANCELLER,
        ("allow/projects/demo.yaml", &grants("roles/canceller", "user:ana@example.com")),
        ("boundaries/edge.yaml", "{}\n"),
    ]);
    assert!(policy.authorize(&call(cancel(), false), caller("ana@example.com").as_ref(), now()).is_err());
}
