//! What each backend needs, installed once below the target directory: npm and pip load packages that are pinned in
//! `tests/backends`, Go builds with Debian's packages, nginx comes from the system. If a tool is missing, the test
//! names it and skips its backends; in CI it fails instead. `.ci/install-backends` installs the tools.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::tools::{once, said, succeed};
use crate::harness::{copy, root};

/// A tool, and whether it is there.
type Check = (&'static str, fn() -> bool);

const GO: &[Check] = &[
    ("Go 1.22 or later", || said("go", &["env", "GOVERSION"]).is_some_and(|version| minor(&version) >= 22)),
    ("golang-github-grpc-ecosystem-grpc-gateway-dev", || {
        Path::new("/usr/share/gocode/src/github.com/grpc-ecosystem/grpc-gateway/runtime").is_dir()
    }),
];
const NODE: &[Check] = &[("npm", || said("npm", &["--version"]).is_some())];
const PYTHON: &[Check] =
    &[("Python's venv", || said("python3", &["-c", "import venv, ensurepip"]).is_some())];
const NGINX: &[Check] = &[("nginx", || Command::new("nginx").arg("-v").output().is_ok())];

/// The backends' files, ready to run.
#[derive(Debug)]
pub struct Installed {
    /// The program built from `tests/backends/go`.
    pub go: Option<PathBuf>,
    /// The folder with `server.mjs` and its modules.
    pub express: Option<PathBuf>,
    /// The folder with `app.py`, and a Python in `venv`.
    pub flask: Option<PathBuf>,
    /// The folder with nginx's configuration templates.
    pub nginx: Option<PathBuf>,
}

/// Installs all that can be installed. Tests that run at the same time wait for one installation.
pub fn installed() -> &'static Installed {
    static INSTALLED: OnceLock<Installed> = OnceLock::new();
    INSTALLED.get_or_init(|| Installed {
        go: with("go", GO, install_go),
        express: with("express", NODE, install_express),
        flask: with("flask", PYTHON, install_flask),
        nginx: with("nginx", NGINX, |folder| folder.to_owned()),
    })
}

fn with(name: &str, checks: &[Check], install: fn(&Path) -> PathBuf) -> Option<PathBuf> {
    if let Some((tool, _)) = checks.iter().find(|(_, is_there)| !is_there()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "{tool} is not installed, and CI is to run every backend: .ci/install-backends"
        );
        eprintln!("the backends that need {tool} are skipped: .ci/install-backends installs it");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("backends").join(name);
    copy(&root().join("tests/backends").join(name), &folder);
    Some(install(&folder))
}

fn install_go(folder: &Path) -> PathBuf {
    let program = folder.join("backend");
    let mut build = Command::new("go");
    // Debian's packages of Go code form a GOPATH.
    build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").args(["build", "-o"]);
    succeed(build.arg(&program).arg(".").current_dir(folder));
    program
}

fn install_express(folder: &Path) -> PathBuf {
    once(folder, "package-lock.json", || {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        succeed(Command::new("npm").args(install).current_dir(folder));
    });
    folder.to_owned()
}

fn install_flask(folder: &Path) -> PathBuf {
    once(folder, "requirements.txt", || {
        succeed(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new("venv/bin/python").args(install).arg("requirements.txt").current_dir(folder));
    });
    folder.to_owned()
}

/// The 23 of `go1.23.5`.
fn minor(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}
