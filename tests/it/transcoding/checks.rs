//! What `check` says of services that cannot be transcoded.

use std::path::Path;

use super::rig::{descriptors, tree};
use crate::harness::{Tree, opgate};

/// What `check` says of a tree, with settings; paths of the tree are left out.
fn checked(tree: &Tree, settings: &[&str]) -> String {
    let mut command = opgate();
    command.args(["check", "--config", "config/demo.yaml", "--set", &tree.setting()]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    text.replace(&tree.path().display().to_string(), "POLICIES")
}

const SERVICE: &str = "services={library: {upstream: operations, transcode: true}}";
const H2C: &str = "upstreams.operations.protocol=h2c";

/// What is wrong with the transcoding, each with its help.
fn wrong(text: &str) -> String {
    let mut told = Vec::new();
    let mut is_about_it = false;
    for line in text.lines() {
        if line.starts_with("error") || line.starts_with("warning") {
            is_about_it = line.contains("transcoded") || line.contains("speaks gRPC");
            told.extend(is_about_it.then_some(line));
        } else if line.trim_start().starts_with("= help") && is_about_it {
            told.push(line.trim_start());
        }
    }
    told.join("\n")
}

#[test]
fn a_service_that_cannot_be_transcoded_is_told_why() {
    let whole = tree();
    let good = checked(&whole, &[SERVICE, H2C]);
    insta::assert_snapshot!("a_stream_of_the_client", wrong(&good));
    assert!(!good.contains("error:"), "{good}");

    insta::assert_snapshot!("an_upstream_of_http1", wrong(&checked(&whole, &[SERVICE])));

    let undescribed = tree();
    std::fs::remove_file(undescribed.path().join("services/library.binpb")).unwrap();
    undescribed.write("services/library.yaml", &format!("{}\n", SERVICE_WITH_RULES));
    let text = checked(&undescribed, &[SERVICE, H2C]);
    insta::assert_snapshot!("no_descriptors", wrong(&text));

    let wrong_rules = tree();
    wrong_rules.write("services/library.yaml", SERVICE_WITH_RULES);
    assert!(
        Path::new(&wrong_rules.path().join("services/library.binpb")).exists() && !descriptors().is_empty()
    );
    let text = checked(&wrong_rules, &[SERVICE, H2C]);
    insta::assert_snapshot!("rules_that_do_not_fit", wrong(&text));
}

/// Rules that name what the messages do not have.
const SERVICE_WITH_RULES: &str = "name: library.example.com
endpoints: [{name: library.example.com, allow_cors: true}]
http:
  rules:
  - {selector: lib.v1.Library.GetBook, get: '/v1/{name=projects/*/books/*}', response_body: nope}
  - {selector: lib.v1.Library.CreateBook, post: '/v1/{parent=projects/*}/books', body: volume}
  - {selector: lib.v1.Library.Echo, get: '/v1/{name=projects/*}/echo/{inner}/{tags}/{nope}'}
authentication:
  rules:
  - {selector: '*', oauth: {canonical_scopes: https://www.googleapis.com/auth/cloud-platform}}
";
