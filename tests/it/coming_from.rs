//! The policy of docs/coming-from.md as a real Envoy decides it: the other gateway's half of the page says the same as opgate's.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opgate::dev::mint::Mint;
use opgate::dev::wire;
use serde_json::{Value, json};

use crate::harness::{AUDIENCE, ISSUER, key, root, token};
use crate::readme::pages::{Kind, Page};

/// The program itself, which `.ci/install-authorizers` installs.
fn program() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Some(target.join("authorizers/programs/envoy")).filter(|path| path.exists())
}

struct Envoy {
    process: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Envoy {
    /// Starts it with this filter behind one that verifies tokens; what passes is answered with 200.
    fn start(program: &PathBuf, rbac: &Value) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("envoy.json");
        std::fs::write(&config, configuration(address, rbac).to_string()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let checked = Command::new(program).args(["--mode", "validate", "-c"]).arg(&config).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let process = Command::new(program)
            .arg("-c")
            .arg(&config)
            // Without an id of its own, it would look for another Envoy's shared memory.
            .args(["--use-dynamic-base-id", "-l", "warning", "--concurrency", "1"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut envoy = Self { process, address, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(address).is_err() {
            if envoy.process.try_wait().unwrap().is_some() {
                // Another process has the port.
                return None;
            }
            assert!(Instant::now() < deadline, "{}", envoy.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(envoy)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn status(&self, method: &str, path: &str, caller: Option<&str>) -> u16 {
        let credential = caller.map(|email| format!("Authorization: Bearer {}\r\n", token(email)));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: envoy.example.com\r\nConnection: close\r\n{}\r\n",
            credential.unwrap_or_default()
        );
        wire::exchange(self.address, request.as_bytes()).await.unwrap().status
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(address: SocketAddr, rbac: &Value) -> Value {
    let filter = |name: &str, kind: &str, mut config: Value| {
        config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.filters.{kind}"));
        json!({ "name": name, "typed_config": config })
    };
    let tokens = json!({
        "providers": {"login": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "payload_in_metadata": "jwt",
            "local_jwks": {"inline_string": key().jwks().to_string()},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "login"}}],
    });
    let http = filter(
        "http",
        "network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "page",
            "http_filters": [
                filter("envoy.filters.http.jwt_authn", "http.jwt_authn.v3.JwtAuthentication", tokens),
                rbac,
                filter("router", "http.router.v3.Router", json!({})),
            ],
            "route_config": {"virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
            }]},
        }),
    );
    json!({"static_resources": {"listeners": [{
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": address.port()}},
        "filter_chains": [{"filters": [http]}],
    }]}})
}

/// opgate's half is in the tests of the page.
#[tokio::test]
async fn envoy_decides_by_its_half_of_the_page_as_opgate_does_by_its_own() {
    let Some(program) = program() else {
        assert!(std::env::var_os("CI").is_none(), "Envoy is not installed: .ci/install-authorizers");
        eprintln!("the test of Envoy's half of docs/coming-from.md is skipped: Envoy is not installed");
        return;
    };
    let blocks = Page::read("docs/coming-from.md").blocks();
    let block = blocks.iter().find(|block| block.kind == Kind::Other).unwrap();
    let rbac: Value = serde_saphyr::from_str(&block.text).unwrap();
    let started = (0..5).find_map(|_| Envoy::start(&program, &rbac));
    let envoy = started.expect("Envoy does not start");
    let book = "/v1/shelves/s/books/b";
    for (method, path, caller, expected) in [
        ("DELETE", book, Some("ana@example.com"), 200),
        ("GET", book, Some("ana@example.com"), 200),
        ("GET", book, Some("bob@example.com"), 200),
        ("DELETE", book, Some("bob@example.com"), 403),
        ("GET", book, Some("eve@example.com"), 403),
        ("PUT", book, Some("ana@example.com"), 403),
        ("GET", "/v1/shelves/s", Some("ana@example.com"), 403),
        ("GET", book, None, 401),
    ] {
        let status = envoy.status(method, path, caller).await;
        assert_eq!(status, expected, "{method} {path} by {caller:?}: {}", envoy.log());
    }
}
