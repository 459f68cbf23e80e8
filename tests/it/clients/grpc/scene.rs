//! Three gates in front of one backend, and the plan that tells clients where they are: one as it is, one that does not wait long
//! for a backend, and one whose backend is not there.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use opgate::dev::mint::Mint;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::backend::Backend;
use super::install::Installed;
use crate::authority::Authority;
use crate::harness::tools::succeed;
use crate::harness::{
    CLOUD_PLATFORM, Gate, Setup, Tree, claims, copy, foreign_key, key, now, root, token, token_with,
};

/// The services by host: each host is on each gate.
const SERVICES: [(&str, &str); 3] =
    [("dataproc", "localhost"), ("translation", "127.0.0.1"), ("streams", "streams.localhost")];

/// All that a client needs.
pub struct Scene {
    pub backend: Backend,
    pub gate: Gate,
    late: Gate,
    dead: Gate,
    authority: Authority,
    files: TempDir,
    _tree: Tree,
    with_tls: bool,
}

impl Scene {
    pub fn start(installed: &Installed, with_tls: bool) -> Self {
        let files = tempfile::tempdir().unwrap();
        let tree = Tree::empty();
        copy(&root().join("tests/clients/grpc/policies"), tree.path());
        for (name, _) in SERVICES {
            let set = format!("{name}.binpb");
            std::fs::copy(installed.descriptors().join(&set), tree.path().join("services").join(set))
                .unwrap();
        }
        let authority = Authority::new();
        let leaf = authority.issue(&["localhost", "127.0.0.1"]).write(files.path(), "server");
        let mut settings = vec![tree.setting()];
        if with_tls {
            settings.push(format!(
                "listeners.0.tls={}",
                json!({ "certificates": [{ "cert": leaf.0, "key": leaf.1 }] })
            ));
        }
        let config = write_config(files.path());
        let backend = Backend::start(installed);
        let start = |endpoint: SocketAddr, more: &[&str]| {
            let set = settings.iter().cloned().chain(more.iter().map(|more| (*more).to_owned())).collect();
            let endpoints = Some(vec![endpoint]);
            Gate::start_with(Setup {
                set,
                endpoints,
                config: Some(config.clone()),
                upstream_protocol: Some("h2c"),
                ..Setup::default()
            })
        };
        let gate = start(backend.address, &[]);
        let late = start(backend.address, &["upstreams.operations.timeouts={response: 300ms}"]);
        let dead = start(closed_port(), &[]);
        Self { backend, gate, late, dead, authority, files, _tree: tree, with_tls }
    }

    /// Writes the plan, and gives its file.
    fn plan(&self) -> PathBuf {
        let at = |host: &str, gate: &Gate| format!("{host}:{}", gate.address.port());
        let expired = json!({ "iat": now() - 7200, "exp": now() - 3600 });
        let tokens = json!({
            "good": token("ana@example.com"),
            "expired": token_with("ana@example.com", expired),
            "forged": foreign_key().sign(&claims("ana@example.com", &[CLOUD_PLATFORM])).unwrap(),
            "narrow": key().sign(&claims("ana@example.com", &["https://www.googleapis.com/auth/userinfo.email"])).unwrap(),
            "stranger": token("eve@example.com"),
        });
        let mut plan = json!({
            "insecure": !self.with_tls,
            "late": at("localhost", &self.late), "dead": at("localhost", &self.dead), "tokens": tokens,
        });
        for (name, host) in SERVICES {
            // No resolver knows the third; its client says the authority itself.
            let host = if name == "streams" { "127.0.0.1" } else { host };
            plan[name] = json!(at(host, &self.gate));
        }
        let path = self.files.path().join("plan.json");
        std::fs::write(&path, plan.to_string()).unwrap();
        path
    }

    /// Runs a client, and gives the lines that it printed: what came of each row.
    pub async fn run(&self, client: Command) -> Vec<Value> {
        self.run_with(client, &[]).await
    }

    /// Runs a client with more arguments behind the plan.
    pub async fn run_with(&self, mut client: Command, more: &[PathBuf]) -> Vec<Value> {
        let roots = self.files.path().join("ca.pem");
        std::fs::write(&roots, self.authority.pem()).unwrap();
        // Google's libraries over gRPC and Node's read the first, Go the second.
        client.env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", &roots).env("SSL_CERT_FILE", &roots);
        client.arg(self.plan()).args(more);
        let ran = tokio::task::spawn_blocking(move || succeed(&mut client)).await.unwrap();
        ran.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
}

fn write_config(folder: &Path) -> PathBuf {
    let services: String = SERVICES
        .iter()
        .map(|(name, host)| {
            format!(
                "  {name}: {{upstream: operations, hosts: [{host}], forward: [principal, request_id], \
                 limits: {{message_bytes: 5MiB}}}}\n"
            )
        })
        .collect();
    let text = format!(
        "listeners: [{{address: '127.0.0.1:0'}}]\n\
         admin: {{address: '127.0.0.1:0'}}\n\
         upstreams:\n  operations: {{endpoints: ['127.0.0.1:1']}}\n\
         services:\n{services}\
         issuers:\n  demo:\n    issuer: {}\n    audiences: [{}]\n    keys: {{file: keys.json}}\n\
         policy: {{directory: policies}}\n\
         audit: {{output: stdout}}\n",
        crate::harness::ISSUER,
        crate::harness::AUDIENCE,
    );
    let path = folder.join("opgate.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

/// An address on which nothing listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
