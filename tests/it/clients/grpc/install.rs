//! What the clients and the backend of gRPC need, installed once below the target directory: npm and pip load packages that are
//! pinned in `tests/clients/grpc`, Go builds with Debian's packages, Java's come from the system. If a tool is missing, the test
//! names it and is skipped; in CI it fails instead. `.ci/install-clients` installs the tools.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::tools::{once, said, succeed};
use crate::harness::{copy, root};

/// Where it all is.
#[derive(Debug)]
pub struct Installed {
    folder: PathBuf,
}

impl Installed {
    /// A Python with Google's clients and grpcio, to be given a script of `tests/clients/grpc/python`.
    pub fn python(&self, script: &str) -> Command {
        let mut command = Command::new(self.folder.join("python/venv/bin/python"));
        command.arg("-B").arg(self.folder.join("python").join(script));
        command
    }

    /// The descriptor sets of the services, and the Python module of the streams.
    pub fn descriptors(&self) -> PathBuf {
        self.folder.join("descriptors")
    }

    /// The calls of Node.
    pub fn node(&self) -> Command {
        let mut command = Command::new("node");
        command.arg("--no-warnings").arg(self.folder.join("node/calls.mjs"));
        command
    }

    /// The calls of Go; `None` where a tool is missing.
    pub fn go(&self) -> Option<Command> {
        static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
        let built = BUILT.get_or_init(|| {
            let clients = Path::new("/usr/share/gocode/src/cloud.google.com/go/longrunning/autogen");
            let is_there = clients.is_dir() && said("go", &["version"]).is_some();
            if !is_there_or_skipped("golang-google-cloud-dev", is_there) {
                return None;
            }
            let program = self.folder.join("go/calls");
            let mut build = Command::new("go");
            // Debian's packages of Go code form a GOPATH.
            build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").args(["build", "-o"]);
            succeed(build.arg(&program).arg(".").current_dir(self.folder.join("go")));
            Some(program)
        });
        built.as_ref().map(Command::new)
    }

    /// The calls of Java; `None` where a tool is missing.
    pub fn java(&self) -> Option<Command> {
        let has_compiler =
            said("java", &["--list-modules"]).is_some_and(|modules| modules.contains("jdk.compiler"));
        let is_there = has_compiler && Path::new("/usr/share/java/grpc-netty.jar").is_file();
        if !is_there_or_skipped("libgrpc-java", is_there) {
            return None;
        }
        let mut command = Command::new("java");
        command.args(["-cp", "/usr/share/java/*"]).arg(self.folder.join("java/Calls.java"));
        Some(command)
    }
}

/// Installs what all tests need: Python's packages, Node's, and what protoc makes of the services. Tests that run at the same time
/// wait for one installation.
pub fn installed() -> Option<&'static Installed> {
    static INSTALLED: OnceLock<Option<Installed>> = OnceLock::new();
    INSTALLED.get_or_init(install).as_ref()
}

fn install() -> Option<Installed> {
    let has_venv = said("python3", &["-c", "import venv, ensurepip"]).is_some();
    let has_npm = said("npm", &["--version"]).is_some();
    if !is_there_or_skipped("Python's venv", has_venv) || !is_there_or_skipped("npm", has_npm) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients/grpc");
    copy(&root().join("tests/clients/grpc"), &folder);
    let python = folder.join("python");
    once(&python, "requirements.txt", || {
        succeed(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&python));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new("venv/bin/python").args(install).arg("requirements.txt").current_dir(&python));
    });
    let node = folder.join("node");
    once(&node, "package-lock.json", || {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        succeed(Command::new("npm").args(install).current_dir(&node));
    });
    let installed = Installed { folder };
    std::fs::create_dir_all(installed.descriptors()).unwrap();
    let mut protoc = installed.python("descriptors.py");
    succeed(protoc.arg(installed.descriptors()).arg(node.join("node_modules")));
    Some(installed)
}

fn is_there_or_skipped(tool: &str, is_there: bool) -> bool {
    if !is_there {
        assert!(
            std::env::var_os("CI").is_none(),
            "{tool} is not installed, and CI is to run every client: .ci/install-clients"
        );
        eprintln!("the clients that need {tool} are skipped: .ci/install-clients installs it");
    }
    is_there
}
