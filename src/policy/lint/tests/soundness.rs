//! A rule that is said to change nothing changes nothing: it is removed from random trees, and every question is asked
//! again.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::policy::{Attributes, ResourceName, Subject};
use crate::principal::Principal;

const RESOURCES: [&str; 3] = ["organizations/9", "projects/p", "projects/p/jobs/j"];
const ROLES: [&str; 2] = ["roles/reader", "roles/admin"];
/// Those after the fourth have no condition.
const MEMBERS: [&str; 6] =
    ["user:a@x.com", "user:b@y.com", "group:g@x.com", "domain:y.com", "allUsers", "allAuthenticatedUsers"];
const CONDITIONS: [&str; 3] =
    ["resource.name == 'projects/p'", "resource.name.endsWith('/j')", "request.path == '/'"];
const DELETED: &str = "deleted:user:gone@x.com?uid=1";

type RandomBinding = (usize, usize, Vec<usize>, Option<usize>);

fn trees() -> impl Strategy<Value = Vec<RandomBinding>> {
    let members = prop::collection::vec(0..MEMBERS.len(), 1..4);
    let binding =
        (0..RESOURCES.len(), 0..ROLES.len(), members, prop::option::weighted(0.4, 0..CONDITIONS.len()));
    prop::collection::vec(binding, 1..7)
}

fn files(tree: &[RandomBinding]) -> Vec<(String, String)> {
    let file = |(at, resource): (usize, &&str)| {
        let bindings =
            tree.iter().filter(|(attached, ..)| *attached == at).map(|(_, role, members, condition)| {
                let quoted: Vec<String> = members.iter().map(|at| format!("'{}'", MEMBERS[*at])).collect();
                let condition = condition.filter(|_| members.iter().all(|at| *at < 4));
                let condition = condition
                    .map(|at| format!(", condition: {{expression: \"{}\"}}", CONDITIONS[at]))
                    .unwrap_or_default();
                format!("- {{role: {}, members: [{}]{condition}}}\n", ROLES[*role], quoted.join(", "))
            });
        (format!("allow/{resource}.yaml"), format!("version: 3\nbindings:\n{}", bindings.collect::<String>()))
    };
    RESOURCES.iter().enumerate().map(file).collect()
}

type Texts = BTreeMap<String, String>;

fn decisions(texts: &Texts) -> Vec<bool> {
    let mut report = Report::new();
    let policy = Policy::load(&PolicyFiles::in_memory("", texts), &[], &mut report);
    assert!(!report.is_fatal(), "{}", report.render(false));
    let callers = ["a@x.com", "b@y.com", "c@z.com"].map(|email| Principal::user(email).unwrap());
    let subjects = callers.iter().map(Subject::of).chain([Subject::anonymous()]);
    let attributes = Attributes::at(now());
    let questions = subjects.flat_map(|subject| {
        RESOURCES.into_iter().chain(["projects/q"]).flat_map(move |resource| {
            ["demo.jobs.get", "demo.jobs.cancel"].map(|permission| (subject, permission, resource))
        })
    });
    questions
        .map(|(subject, permission, resource)| {
            policy.decide(subject, permission, ResourceName::new(resource), &attributes).is_ok()
        })
        .collect()
}

#[test]
fn rules_that_are_said_to_change_nothing_change_nothing() {
    let removed = Cell::new(0);
    let cases = Config { cases: 64, failure_persistence: None, ..Config::default() };
    TestRunner::new(cases)
        .run(&trees(), |tree| {
            let groups = [("groups.yaml".to_owned(), "g@x.com: ['user:a@x.com']\n".to_owned())];
            let given = FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
            let texts: Texts = given.chain(groups).chain(files(&tree)).collect();
            let files = PolicyFiles::in_memory("", &texts);
            let mut report = Report::new();
            let catalog = Catalog::load(&files, &[exposure()], &mut report).unwrap();
            lint(&files, &catalog, now(), &mut report);
            let before = decisions(&texts);
            for diagnostic in report.diagnostics() {
                let idle = ["already has", "does not keep them out"];
                if !idle.iter().any(|words| diagnostic.message.contains(words)) {
                    continue;
                }
                let Span { source, range } = diagnostic.span.as_ref().unwrap();
                let mut without = texts.clone();
                let text = without.get_mut(source.path.to_str().unwrap()).unwrap();
                text.replace_range(range.clone(), &format!("'{DELETED}'"));
                let shown = text.clone();
                prop_assert_eq!(&decisions(&without), &before, "{}\n{}", diagnostic.message, shown);
                removed.set(removed.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    assert!(removed.get() > 64, "only {} members were told of", removed.get());
}
