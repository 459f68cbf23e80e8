//! A real OpenID provider as the issuer: discovery, its tokens, and the rotation of its keys. Introspection of its
//! opaque tokens and tokens that it binds to keys are in `openid/`.
//!
//! `tests/openid` holds the provider, pinned by its lockfile; npm installs it below the target directory, once.

mod bound;
mod introspected;

use std::io::{BufRead, BufReader, ErrorKind, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opgate::dev::mint::Mint;
use opgate::dev::wire;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::json;

use crate::harness::{AUDIENCE, Answer, CANCEL, COMPANION, Gate, Req, Setup, claims, outcome, root};

struct Provider {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    issuer: String,
}

/// The folder with the provider and its packages; prints why and gives `None` if there is no npm. Tests that run at the
/// same time wait for one installation.
pub fn installed() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(install).as_deref()
}

fn install() -> Option<PathBuf> {
    let npm = Command::new("npm").arg("--version").output();
    if npm.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        assert!(
            std::env::var_os("CI").is_none(),
            "npm is not installed, and CI is to run the OpenID provider"
        );
        eprintln!("the tests with an OpenID provider are skipped: npm is not installed");
        return None;
    }
    let (from, to) = (root().join("tests/openid"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("openid"));
    std::fs::create_dir_all(&to).unwrap();
    let locked = std::fs::read(from.join("package-lock.json")).unwrap();
    let stamp = to.join("installed-lock.json");
    for name in ["package.json", "package-lock.json", "provider.mjs"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    if std::fs::read(&stamp).ok().as_ref() != Some(&locked) {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        let output = Command::new("npm").args(install).current_dir(&to).output().unwrap();
        assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(stamp, locked).unwrap();
    }
    Some(to)
}

impl Provider {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new("node")
            .arg("provider.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut provider = Self { child, input, output, issuer: String::new() };
        provider.issuer = provider.line("listening ");
        provider
    }

    /// The rest of the next line that begins like this; the library prints other lines in between.
    fn line(&mut self, beginning: &str) -> String {
        loop {
            let line = self.output.next().expect("the provider has ended").unwrap();
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
        self.line("done");
    }

    /// A token that the client `tests` gets for itself, as a service does (RFC 6749, section 4.4).
    async fn token(&self) -> String {
        self.token_with("tests", "", &[]).await
    }

    /// A token for another client, with more form parameters and header fields.
    async fn token_with(&self, client: &str, form: &str, head: &[(&str, &str)]) -> String {
        let scope = "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform";
        let form = format!("grant_type=client_credentials&scope={scope}{form}");
        let answer = self.post("/token", client, &form, head).await;
        let json = answer.json().unwrap();
        json["access_token"].as_str().unwrap_or_else(|| panic!("no token: {json}")).to_owned()
    }

    /// Sends a form as a client. A client's secret is its name.
    async fn post(&self, path: &str, client: &str, form: &str, head: &[(&str, &str)]) -> Answer {
        let authority = self.issuer.strip_prefix("http://").unwrap();
        let basic = STANDARD.encode(format!("{client}:{client}"));
        let head: String = head.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Basic {basic}\r\n{head}\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{form}",
            form.len()
        );
        wire::exchange(authority.parse().unwrap(), request.as_bytes()).await.unwrap()
    }

    /// The settings of an issuer of opaque tokens: the provider, by introspection.
    fn asked(&self, secret: &Path) -> Vec<String> {
        let introspection = json!({
            "url": format!("{}/token/introspection", self.issuer), "client_id": "gate",
            "client_secret_file": secret, "remember": "1s", "remember_briefly": "1s",
        });
        let issuer = json!({
            "issuer": self.issuer, "audiences": [AUDIENCE], "email_domains": ["example.com"],
            "introspection": introspection,
        });
        vec![format!("issuers.provider={issuer}"), "issuers.demo.email_domains=[example.com]".to_owned()]
    }
}

/// The form parameter that makes a token opaque.
const OPAQUE: &str = "&resource=https%3A%2F%2Fopgate.demo.localhost%2Fopaque";

/// The secret of the provider's client `gate`.
fn secret() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "gate").unwrap();
    file
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cancel() -> Req {
    Req::new("POST", COMPANION, CANCEL)
}

async fn outcome_with(gate: &Gate, token: &str) -> (u16, String) {
    outcome(&gate.http1(&cancel().bearer(token)).await)
}

/// The same, once the gate has the keys.
async fn judged(gate: &Gate, token: &str) -> (u16, String) {
    loop {
        let told = outcome_with(gate, token).await;
        if told.0 != 503 {
            return told;
        }
    }
}

fn allowed() -> (u16, String) {
    (200, String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_openid_provider_is_discovered_and_rotates_its_keys() {
    let Some(folder) = installed() else { return };
    let mut provider = Provider::start(folder);
    let issuer = provider.issuer.clone();
    let keys = json!({ "discovery": "openid", "refresh": "30s", "cool_down": "1s" });
    let gate = Gate::start_with(Setup {
        set: vec![format!("issuers.demo.issuer={issuer}"), format!("issuers.demo.keys={keys}")],
        ..Setup::default()
    });
    let first = provider.token().await;
    assert_eq!(outcome_with(&gate, &first).await, allowed(), "{}", gate.log());

    // Signed with a key that the gate has never seen: this request waits for a fetch, and is not refused.
    provider.tell("publish");
    provider.tell("use");
    let second = provider.token().await;
    assert_eq!(outcome_with(&gate, &second).await, allowed(), "{}", gate.log());
    assert_eq!(outcome_with(&gate, &first).await, allowed());
    assert!(gate.metrics().await.contains("opgate_jwks_keys{issuer=\"demo\"} 2\n"));

    provider.tell("withdraw");
    let stranger = SigningKey::generate(SigningAlgorithm::Es256, Some("invented")).unwrap();
    let mut claims = claims("ana@example.com", &[]);
    claims["iss"] = json!(issuer);
    // The provider has no such key any more. The fetch that was made for it tells the gate of the withdrawal.
    let invented = stranger.sign(&claims).unwrap();
    assert_eq!(judged(&gate, &invented).await, (401, "JWT_TOKEN_INVALID".to_owned()));
    assert_eq!(judged(&gate, &first).await, (401, "JWT_TOKEN_INVALID".to_owned()));
    assert_eq!(outcome_with(&gate, &second).await, allowed());
    assert_eq!(gate.backend.requests().len(), 4);
    let log = gate.log();
    assert!(log.contains("the issuer has changed its keys"), "{log}");
}
