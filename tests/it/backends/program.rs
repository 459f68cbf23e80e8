//! The backends as processes: each serves the route table of `tests/backends/policies` and writes a line for each
//! request that it has read.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::books::Books;
use super::install::{Installed, installed};

/// A backend as the gate knows it.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name, and that of its upstream.
    pub name: &'static str,
    pub address: SocketAddr,
}

impl Backend {
    /// Where the gate exposes its services.
    pub fn host(&self) -> String {
        format!("{}.backends.localhost", self.name)
    }
}

/// Processes that end when the value is dropped, and the backends that they run.
pub struct Programs {
    children: Vec<Child>,
    pub backends: Vec<Backend>,
}

impl Programs {
    /// Starts every installed backend; their lines go into the books. `None` if there is no backend.
    pub fn start(directory: &Path, books: &Arc<Books>) -> Option<Self> {
        let mut programs = Self { children: Vec::new(), backends: Vec::new() };
        let Installed { go, express, flask, nginx } = installed();
        if let Some(program) = go {
            for (name, routes) in [("nethttp", "byhand"), ("patterns", "patterns"), ("gateway", "gateway")] {
                let address = free_port();
                let mut command = Command::new(program);
                // Without a module, Go gives a program the mux of Go 1.21.
                command.env("GODEBUG", "httpmuxgo121=0");
                command.arg(routes).arg(address.port().to_string());
                programs.run(command, &[(name, address)], books);
            }
        }
        if let Some(folder) = express {
            let address = free_port();
            let mut command = Command::new("node");
            command.arg("server.mjs").arg(address.port().to_string()).current_dir(folder);
            programs.run(command, &[("express", address)], books);
        }
        if let Some(folder) = flask {
            let address = free_port();
            let mut command = Command::new("venv/bin/python");
            command.args(["-m", "gunicorn", "--worker-class", "gthread", "--threads", "16"]);
            command.args(["--keep-alive", "600", "--log-level", "critical", "--no-control-socket"]);
            command.args(["--bind", &address.to_string(), "app:app"]).current_dir(folder);
            programs.run(command, &[("flask", address)], books);
        }
        if let Some(folder) = nginx {
            let (exact, folded) = (free_port(), free_port());
            let command = nginx_command(folder, directory, exact, folded);
            programs.run(command, &[("nginx", exact), ("nginx-folded", folded)], books);
        }
        (!programs.backends.is_empty()).then_some(programs)
    }

    fn run(&mut self, mut command: Command, backends: &[(&'static str, SocketAddr)], books: &Arc<Books>) {
        // The programs read their standard input: its end, which is the test's, ends them.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let books = books.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                books.ran(&line);
            }
        });
        for (name, address) in backends {
            let deadline = Instant::now() + Duration::from_secs(30);
            while TcpStream::connect(address).is_err() {
                let ended = child.try_wait().unwrap();
                assert!(ended.is_none() && Instant::now() < deadline, "{name} does not serve: {command:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
            self.backends.push(Backend { name, address: *address });
        }
        self.children.push(child);
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for child in &mut self.children {
            // gunicorn's worker ends with its master if the master gets a signal.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let deadline = Instant::now() + Duration::from_secs(2);
            while child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn nginx_command(from: &Path, directory: &Path, exact: SocketAddr, folded: SocketAddr) -> Command {
    let to = directory.join("nginx");
    std::fs::create_dir_all(&to).unwrap();
    let text = |name: &str| std::fs::read_to_string(from.join(name)).unwrap();
    let write = |name: &str, text: String| -> PathBuf {
        let path = to.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let configuration = text("nginx.conf")
        .replace("DIRECTORY", to.to_str().unwrap())
        .replace("EXACT", &exact.port().to_string())
        .replace("FOLDED", &folded.port().to_string());
    write("exact.conf", text("locations.conf").replace("TILDE", "~"));
    write("folded.conf", text("locations.conf").replace("TILDE", "~*"));
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&to).arg("-c").arg(write("nginx.conf", configuration));
    command
}
