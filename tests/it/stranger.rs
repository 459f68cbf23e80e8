//! A stranger's path: only the commands of docs/quickstart.md, in order, with an API of their own and a real OpenID provider.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::openid::installed;
use crate::readme::pages::{Kind, Page};

/// The ports of the page, in the order in which something begins to listen there: the API, the provider, the gate. The last one
/// is the operator's.
const PORTS: [u16; 4] = [9000, 9002, 8080, 9901];

/// One shell for all commands of the page.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_opgate")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPGATE_")) {
            command.env_remove(name);
        }
        let mut child = command
            .env("PATH", path)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut shell = Self { child, input, output };
        // What runs in the background ends with the shell.
        shell.run("trap 'kill $(jobs -p) 2>/dev/null' EXIT");
        shell
    }

    /// Runs a line, and gives what it prints and its exit code.
    fn run(&mut self, line: &str) -> (String, i32) {
        writeln!(self.input, "{line}\nprintf '\\nended %s\\n' \"$?\"").unwrap();
        let mut text = String::new();
        loop {
            let line = self.output.next().expect("the shell has ended").unwrap();
            if let Some(code) = line.strip_prefix("ended ") {
                return (text, code.parse().unwrap());
            }
            text.push_str(&line);
            text.push('\n');
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = writeln!(self.input, "exit");
        let _ = self.child.wait();
    }
}

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits as a reader does, until a server that was started listens.
fn wait_for(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
        assert!(Instant::now() < deadline, "nothing listens at {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_commands_of_the_quickstart_lead_to_a_denied_and_an_allowed_call() {
    let Some(packages) = installed() else { return };
    let page = Page::read("docs/quickstart.md");
    let ports = PORTS.map(|_| free_port());
    // The page's ports may be in use here.
    let here = |text: &str| {
        let mut text = text.to_owned();
        for (written, free) in PORTS.iter().zip(ports) {
            text = text.replace(&format!("127.0.0.1:{written}"), &format!("127.0.0.1:{free}"));
            text = text.replace(&format!("\"127.0.0.1\", {written}"), &format!("\"127.0.0.1\", {free}"));
            text = text.replace(&format!("listen({written},"), &format!("listen({free},"));
        }
        text
    };
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::start(folder.path());
    let mut servers = ports.iter();
    let (mut printed, mut commands, mut shown) = (String::new(), 0, 0);
    for block in page.blocks() {
        match block.kind {
            Kind::File(name) => {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, here(&block.text)).unwrap();
            }
            Kind::Steps => {
                printed.clear();
                for line in block.text.lines() {
                    commands += 1;
                    if line.starts_with("npm install ") {
                        // The same package, pinned by its lockfile.
                        let version = std::fs::read_to_string(packages.join("package.json")).unwrap();
                        let (package, pinned) = line.rsplit_once(' ').unwrap().1.split_once('@').unwrap();
                        assert!(version.contains(&format!("\"{package}\": \"{pinned}\"")), "{line}");
                        let modules = packages.join("node_modules");
                        std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
                        continue;
                    }
                    let (text, code) = shell.run(&here(line));
                    let expected = if line.starts_with("opgate explain ") { 2 } else { 0 };
                    let log = std::fs::read_to_string(folder.path().join("gate/log")).unwrap_or_default();
                    assert_eq!(code, expected, "{line}\n{text}\n{log}");
                    printed.push_str(&text);
                    if line.ends_with('&') {
                        wait_for(*servers.next().unwrap());
                    }
                }
            }
            Kind::Shown => {
                let mut lines = printed.lines();
                for line in block.text.lines() {
                    shown += 1;
                    let found = lines.any(|printed| printed.contains(line.trim()));
                    assert!(found, "not, or not here, in what is printed: {line}\n{printed}");
                }
            }
            other => panic!("{other:?} on the page"),
        }
    }
    assert!(commands >= 15 && shown >= 10 && servers.next() == Some(&ports[3]), "{commands} {shown}");
}
