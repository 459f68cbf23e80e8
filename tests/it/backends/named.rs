//! Literals and verbs in other spellings, sent by a caller who may get things and nothing else.

use super::assert_no_differences;
use super::books::Books;
use super::case::{Caller, Case, Version};
use super::scene::Scene;

/// Paths below `things/`, and the expected outcome of a GET.
const ROWS: &[(&str, Wanted)] = &[
    ("x", Wanted::Allowed),
    // The caller may not export, and an id must not be a spelling of the verb.
    ("x:exportSecrets", Wanted::Refused),
    ("x%3AexportSecrets", Wanted::Refused),
    ("x%3aexportSecrets", Wanted::Refused),
    ("x:exportsecrets", Wanted::Refused),
    ("x:EXPORTSECRETS", Wanted::Refused),
    ("x:export%53ecrets", Wanted::Refused),
    ("x%3Aexport%53ecrets", Wanted::Refused),
    ("x%3AEXPORTSECRETS", Wanted::Refused),
    ("x:export%C5%BFecrets", Wanted::Refused),
    ("x%3Aexport%C5%BFecrets", Wanted::Refused),
    ("a:b%3AexportSecrets", Wanted::Refused),
    // grpc-gateway reads a colon at the end as an empty verb, and drops it (runtime/mux.go).
    ("x%3A", Wanted::Refused),
    ("root%3A", Wanted::Refused),
    ("root%3a", Wanted::Refused),
    ("audit%3A", Wanted::Refused),
    // These need another permission.
    ("root", Wanted::Refused),
    ("roo%74", Wanted::Refused),
    ("ROOT", Wanted::Refused),
    ("Root", Wanted::Refused),
    ("RO%4fT", Wanted::Refused),
    // Declared and closed.
    ("audit", Wanted::Refused),
    ("%61udit", Wanted::Refused),
    ("AUDIT", Wanted::Refused),
    ("%41UDIT", Wanted::Refused),
    // Declared and closed by the other service of the host.
    ("vault", Wanted::Refused),
    ("vaul%74", Wanted::Refused),
    ("VAULT", Wanted::Refused),
    ("%56ault", Wanted::Refused),
    // All of these may stand in an id.
    ("a%3Ab", Wanted::AllowedOrUnknown),
    ("roots", Wanted::Allowed),
    ("ro%6ft-1", Wanted::Allowed),
    ("Audit1", Wanted::Allowed),
    ("x%20y", Wanted::Allowed),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Runs `things.v1.Things.Get`.
    Allowed,
    /// The gate allows it; a backend without such a verb refuses it by itself.
    AllowedOrUnknown,
    /// The gate refuses it: the backend sees nothing.
    Refused,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_literal_or_a_verb_dodges_its_route() {
    let Some(scene) = Scene::start(Books::keeping()) else { return };
    let (mut cases, mut wanted) = (Vec::new(), Vec::new());
    for backend in scene.backends() {
        for (id, becomes) in ROWS {
            for version in [Version::Http1, Version::Http2] {
                let target = format!("/v1/projects/p/things/{id}");
                cases.push(Case::new("GET", &backend.host(), &target).over(version).by(Caller::Get));
                wanted.push((backend.name, *becomes));
            }
        }
    }
    let outcomes = scene.ask(cases).await;
    let mut failures = Vec::new();
    for (outcome, (backend, wanted)) in outcomes.iter().zip(wanted) {
        let ran = outcome.ran();
        let good = match wanted {
            Wanted::Allowed => outcome.seen == Some(200) && ran == ["things.v1.Things.Get"],
            Wanted::AllowedOrUnknown => match outcome.seen {
                Some(200) => ran == ["things.v1.Things.Get"],
                _ => outcome.seen == Some(404) && outcome.entry.ran.len() == 1 && ran.is_empty(),
            },
            Wanted::Refused => {
                outcome.seen.is_some_and(|status| (400..500).contains(&status))
                    && outcome.entry.ran.is_empty()
            }
        };
        if !good {
            failures.push(format!("{backend}: {:?}, ran {ran:?}: {}", outcome.seen, outcome.case));
        }
    }
    eprintln!(
        "{} rows over {} backends, {} failures",
        outcomes.len(),
        scene.backends().len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_no_differences("named rows", &scene.books.differences(), |_| None);
}
