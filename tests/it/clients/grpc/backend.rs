//! The backend as a process: `tests/clients/grpc/python/server.py`, on grpcio.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::install::Installed;

/// A call that the backend has got, told when it ended.
#[derive(Clone, Debug)]
pub struct Got {
    /// `/package.Service/Method`.
    pub method: String,
    pub metadata: Vec<(String, String)>,
    /// The bytes of each message.
    pub messages: Vec<Vec<u8>>,
    /// The seconds that it had; `None` if it had no deadline.
    pub deadline: Option<f64>,
    pub was_cancelled: bool,
}

impl Got {
    fn read(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pair = |pair: &Value| (text(&pair[0]), text(&pair[1]));
        let message = |message: &Value| STANDARD.decode(message.as_str().unwrap()).unwrap();
        Self {
            method: text(&line["method"]),
            metadata: line["metadata"].as_array().unwrap().iter().map(pair).collect(),
            messages: line["messages"].as_array().unwrap().iter().map(message).collect(),
            // grpcio gives about 2^63 where a call has none.
            deadline: line["deadline"].as_f64().filter(|seconds| *seconds < 1e12),
            was_cancelled: line["end"] == "cancelled",
        }
    }

    /// Every value of a key.
    pub fn values(&self, key: &str) -> Vec<&str> {
        self.metadata.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
    }
}

/// A running backend. It ends with the value.
pub struct Backend {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    pub address: SocketAddr,
}

impl Backend {
    pub fn start(installed: &Installed) -> Self {
        let mut command = installed.python("server.py");
        command.arg("0").arg(installed.descriptors());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&told.next().expect("the backend serves").unwrap()).unwrap();
        let port = first["port"].as_u64().unwrap().try_into().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let to = lines.clone();
        std::thread::spawn(move || {
            for line in told.map_while(Result::ok) {
                to.lock().unwrap().push(line);
            }
        });
        Self { child, lines, address: ([127, 0, 0, 1], port).into() }
    }

    /// The calls that have ended, once there are as many.
    pub fn got(&self, count: usize) -> Vec<Got> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let lines = self.lines.lock().unwrap().clone();
            if lines.len() >= count {
                return lines.iter().map(|line| Got::read(line)).collect();
            }
            assert!(Instant::now() < deadline, "{} of {count} calls:\n{}", lines.len(), lines.join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
