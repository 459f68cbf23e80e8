//! The defaults that the tables say, and those of the code.

use opgate::config::Config;
use opgate::diagnostic::Report;
use opgate::schema::FileSchema;
use opgate::schema::shape::Shape;
use serde_json::{Value, json};

use super::parse;
use crate::cli::Workspace;

/// Sections that change something by being there.
const SWITCHES: [&str; 5] = ["health_check", "tls", "cors", "explain", "tcp_keep_alive"];

/// Writes out every default of the tables.
fn fill(shape: Shape, value: &mut Value, written: &mut usize) {
    match shape {
        Shape::Mapping(mapping) => {
            for key in mapping.keys {
                if let Some(inner) = value.get_mut(key.name) {
                    fill(key.shape, inner, written);
                } else if let Some(default) = key.default {
                    value[key.name] = parse(default);
                    *written += 1;
                } else if let Shape::Mapping(inner) = key.shape
                    && !SWITCHES.contains(&key.name)
                    && inner.keys.iter().all(|key| !key.is_required)
                {
                    value[key.name] = json!({});
                    fill(key.shape, &mut value[key.name], written);
                }
            }
        }
        Shape::List(item) | Shape::Several(item) => {
            value.as_array_mut().unwrap().iter_mut().for_each(|value| fill(*item, value, written));
        }
        Shape::Named(_, inner) => {
            value.as_object_mut().unwrap().values_mut().for_each(|value| fill(*inner, value, written));
        }
        Shape::Either(shapes) => {
            let fits = |shape: &&Shape| match shape {
                Shape::Mapping(mapping) => value
                    .as_object()
                    .is_some_and(|value| value.keys().all(|key| mapping.position(key).is_some())),
                _ => false,
            };
            if let Some(shape) = shapes.iter().find(fits) {
                fill(*shape, value, written);
            }
        }
        _ => {}
    }
}

/// What the reference says is the default is what counts if a key is not there.
#[test]
fn defaults_of_the_tables_are_those_of_the_code() {
    let workspace = Workspace::new();
    let text = "listeners: [{address: '127.0.0.1:8080'}]\nadmin: {address: '127.0.0.1:9901'}\n\
                upstreams: {operations: {endpoints: ['127.0.0.1:9000']}}\nservices: {dataproc: {upstream: operations}}\n\
                issuers: {staff: {issuer: 'https://a.test', audiences: [b], keys: {url: 'https://a.test/keys'}}}\n\
                policy: {directory: ../policies}\n";
    let mut value = parse(text);
    let mut written = 0;
    fill(FileSchema::named("configuration").unwrap().root, &mut value, &mut written);
    assert!(written > 60, "{written}: {value:#}");
    let load = |text: &str| {
        std::fs::write(workspace.path("config/opgate.yaml"), text).unwrap();
        let mut report = Report::new();
        let config = Config::load(&workspace.path("config/opgate.yaml"), &[], &mut report);
        assert!(report.diagnostics().is_empty(), "{}\n{text}", report.render(false));
        config.unwrap()
    };
    let (short, long) = (load(text), load(&value.to_string()));
    assert_eq!(short.limits, long.limits);
    assert_eq!(short.admin, long.admin);
    assert_eq!(short.audit, long.audit);
    assert_eq!(short.cancels, long.cancels);
    assert_eq!(short.telemetry, long.telemetry);
    assert_eq!(short.dns, long.dns);
    for (short, long) in short.upstreams.iter().zip(&long.upstreams) {
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
    }
    for (short, long) in short.issuers.iter().zip(&long.issuers) {
        assert_eq!(format!("{:?}", short.settings), format!("{:?}", long.settings));
    }
    assert_eq!(short.listeners[0].http2, long.listeners[0].http2);
    assert_eq!(short.services[0].forwarding, long.services[0].forwarding);
}
