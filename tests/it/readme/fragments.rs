//! The examples of a page, laid out so that the program can load them.

use opgate::dev::mint::Mint;
use regex::Regex;

use super::pages::{Kind, Page};
use crate::authority::Authority;
use crate::cli::Workspace;
use crate::harness::copy;
use opgate::signing::{SigningAlgorithm, SigningKey};

/// A line as the gate writes it, of a request that any of the trees allows.
const AUDIT_LINE: &str = r#"{"timestamp":"2026-03-02T09:00:00Z","severity":"INFO","insertId":"1","httpRequest":{"requestMethod":"POST","status":200,"remoteIp":"127.0.0.1","latency":"0.001s"},"protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","status":{},"authenticationInfo":{"principalSubject":"user:ana@example.com","principalEmail":"ana@example.com"},"serviceName":"cloudaicompanion.googleapis.com","methodName":"google.longrunning.Operations.CancelOperation","resourceName":"projects/demo/locations/us-central1/operations/o","authorizationInfo":[{"resource":"projects/demo/locations/us-central1/operations/o","permission":"cloudaicompanion.operations.cancel","granted":true}],"requestMetadata":{"callerIp":"127.0.0.1","requestAttributes":{"id":"1","time":"2026-03-02T09:00:00Z","method":"POST","host":"cloudaicompanion.googleapis.com","path":"/v1/projects/demo/locations/us-central1/operations/o:cancel","protocol":"HTTP/1.1"}},"metadata":{"decision":"ALLOWED","reason":"ALLOWED","policyRevision":"000000000000","rule":{"role":"organizations/7/roles/operationsCanceller","member":"group:oncall@example.com","resource":"projects/demo","place":"policies/allow/projects/demo.yaml:6"}}}}
"#;

/// The shipped tree with the page's examples in it, and how many there are.
pub fn workspace(page: &Page) -> (Workspace, usize) {
    let mut workspace = Workspace::new();
    let mut examples = 0;
    for block in page.blocks() {
        let (name, before) = match &block.kind {
            Kind::File(name) => (name, String::new()),
            Kind::Addition(name) => (name, std::fs::read_to_string(workspace.path(name)).unwrap()),
            _ => continue,
        };
        workspace = workspace.write(name, &(before + &block.text));
        examples += 1;
    }
    copy(&workspace.path("policies"), &workspace.path("next"));
    (workspace.write("audit.jsonl", AUDIT_LINE), examples)
}

/// config/opgate.yaml with these sections in place of its own.
pub fn configuration(shipped: &str, sections: &str) -> String {
    let start = Regex::new(r"^([a-z_]+):").unwrap();
    let section = |line: &str| start.captures(line).map(|found| found[1].to_owned());
    let replaced: Vec<String> = sections.lines().filter_map(section).collect();
    assert!(!replaced.is_empty(), "no section in\n{sections}");
    let mut is_kept = true;
    let mut text = String::new();
    for line in shipped.lines() {
        if let Some(name) = section(line) {
            is_kept = !replaced.contains(&name);
        }
        if is_kept {
            text.push_str(line);
            text.push('\n');
        }
    }
    text + sections
}

/// The files that examples of the configuration name.
pub fn write_named_files(workspace: &Workspace) {
    let folder = workspace.path("config");
    // Trees that are tried beside the one in force.
    for name in ["next", "next-dataproc"] {
        copy(&workspace.path("policies"), &workspace.path(name));
    }
    let authority = Authority::new();
    std::fs::write(folder.join("clients-ca.pem"), authority.pem()).unwrap();
    authority.issue(&["cloudaicompanion.googleapis.com"]).write(&folder, "server");
    let key = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap();
    std::fs::write(folder.join("assertion-key.pem"), key.to_pkcs8_pem().unwrap().reveal()).unwrap();
    std::fs::write(folder.join("admin-token"), "0123456789abcdef\n").unwrap();
    std::fs::write(folder.join("kubernetes-ca.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("partner.secret"), "0123456789abcdef\n").unwrap();
}
