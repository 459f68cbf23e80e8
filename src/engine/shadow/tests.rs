use super::*;
use crate::decision::shadow::ShadowSettings;
use crate::diagnostic::{Report, Source};
use crate::document::{self, Spelling};
use crate::metrics::{Exposition, Metrics, Names};

fn shadows(text: &str) -> Arc<Shadows> {
    let root = document::parse(&Source::new("opgate.yaml", text), &mut Report::new()).unwrap();
    let mut fields = root.fields("it", Spelling::Exact, &mut Report::new()).unwrap();
    let base = std::path::Path::new("");
    let settings = ShadowSettings::read(fields.optional("policy"), None, base, &mut Report::new());
    Arc::new(Shadows::new(settings, std::collections::BTreeMap::new()))
}

fn series(metrics: &Metrics) -> String {
    let text = metrics.scrape(Names::default).text(Exposition::Prometheus, &[]);
    text.lines().filter(|line| line.starts_with("opgate_shadow")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_counters_are_there_from_the_first_moment_of_a_shadow_to_its_last() {
    let metrics = Metrics::new().unwrap();
    let instruments = ShadowInstruments::register(metrics.registry()).unwrap();
    let none = LiveShadows::new(Arc::default(), &[], &instruments);
    assert!(none.counters.is_none() && series(&metrics).is_empty(), "{}", series(&metrics));
    // Its tree is not loaded yet.
    let set = LiveShadows::new(shadows("policy: {directory: p, shadow: next}\n"), &[], &instruments);
    assert!(set.counters.is_some() && set.of_methods.is_empty());
    for in_force in ["allowed", "denied"] {
        for shadow in ["allowed", "denied"] {
            let line =
                format!("opgate_shadow_decisions_total{{in_force=\"{in_force}\",shadow=\"{shadow}\"}} 0\n");
            assert!(series(&metrics).contains(&line), "{}", series(&metrics));
        }
    }
    LiveShadows::new(Arc::default(), &[], &instruments);
    assert!(series(&metrics).is_empty(), "{}", series(&metrics));
}

#[test]
fn a_shadow_that_panics_says_nothing() {
    let method = crate::catalog::Method {
        index: 0,
        service: Arc::new(crate::catalog::Exposure {
            id: "s".to_owned(),
            name: "s.example.com".to_owned(),
            hosts: Vec::new(),
            upstream: String::new(),
            forwarding: crate::catalog::Forwarding::default(),
            cors: None,
            protected_resource: None,
            error_domain: String::new(),
        }),
        name: "v1.Jobs.Get".to_owned(),
        permission: crate::catalog::PermissionRule::None,
        scopes: Vec::new(),
        allow_without_credential: false,
        requirements: Vec::new(),
        resource: crate::catalog::ResourceTemplate::variable("name"),
        resource_type: None,
        operation: None,
        permission_type: None,
        unimplemented: false,
        rpc: None,
        rpc_fault: None,
        limits: crate::catalog::MethodLimits::default(),
        place: crate::diagnostic::Place { file: "services/s.iam.yaml".into(), line: 1 },
    };
    assert_eq!(guarded(&method, || Some(1)), Some(1));
    assert_eq!(guarded(&method, || -> Option<u8> { panic!("on purpose") }), None);
}
