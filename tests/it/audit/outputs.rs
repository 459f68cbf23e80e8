//! Where lines can go, and what happens there.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::schema::check_line;
use crate::harness::{Gate, Setup, cancel, get, reason, signal};

fn gate_writing_to(output: &str, more: &[&str]) -> Gate {
    let mut set = vec![format!("audit.output={output}")];
    set.extend(more.iter().map(|setting| (*setting).to_owned()));
    Gate::start_with(Setup { set, ..Setup::default() })
}

/// Points a path to another file, at once.
fn point(link: &Path, target: &Path) {
    let next = link.with_extension("next");
    std::os::unix::fs::symlink(target, &next).unwrap();
    std::fs::rename(next, link).unwrap();
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn lines_of(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().inspect(|line| check_line(line)).map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn dropped(gate: &Gate, reason: &str) -> u64 {
    gate.metric(&format!("opgate_audit_dropped_total{{reason=\"{reason}\"}}")).await
}

async fn audit_of_readyz(gate: &Gate) -> Value {
    gate.admin("/readyz").await.json().unwrap()["audit"].clone()
}

/// A device that is full: five of five lines were not written, and none was counted.
#[tokio::test]
async fn lines_lost_to_a_full_disk_are_counted_told_and_missed_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let (link, file) = (directory.path().join("log"), directory.path().join("file"));
    point(&link, Path::new("/dev/full"));
    let gate = gate_writing_to(&link.display().to_string(), &[]);
    for _ in 0..5 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
    }
    until("five losses", async || dropped(&gate, "write").await == 5).await;
    let told = audit_of_readyz(&gate).await;
    assert_eq!((&told["lost"], &told["written"]), (&json!(5), &json!(0)), "{told}");
    assert!(told["failure"].as_str().unwrap().contains("space"), "{told}");
    assert_eq!(gate.admin("/readyz").await.status, 200, "it still decides");
    until("a warning", async || gate.log().contains("cannot write audit lines")).await;
    assert_eq!(gate.log().matches("cannot write audit lines").count(), 1, "one a minute at most");

    point(&link, &file);
    signal(gate.pid(), "HUP");
    until("the gap", async || lines_of(&file).len() == 1).await;
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    until("the line", async || lines_of(&file).len() == 2).await;
    let lines = lines_of(&file);
    assert_eq!(lines[0]["protoPayload"]["metadata"]["lost"], 5);
    assert_eq!(lines[1]["protoPayload"]["metadata"]["decision"], "ALLOWED");
    // What was lost and what was written are all requests.
    let written = gate.metric("opgate_audit_lines_total").await;
    assert_eq!((written, dropped(&gate, "write").await), (1, 5));
    assert_eq!(audit_of_readyz(&gate).await["failure"], Value::Null);
}

#[tokio::test]
async fn nothing_goes_upstream_without_a_line_where_the_operator_wants_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let (link, file) = (directory.path().join("log"), directory.path().join("file"));
    point(&link, Path::new("/dev/full"));
    let gate = gate_writing_to(&link.display().to_string(), &["audit.when_full=refuse"]);
    // The first shows that the disk is full; its line is kept.
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    until("a refusal", async || {
        let answer = gate.http1(&cancel()).await;
        let refused = (answer.status, reason(&answer)) == (503, "AUDIT_LOG_UNAVAILABLE".to_owned());
        assert!(refused || answer.status == 200, "{}", answer.status);
        refused
    })
    .await;
    let unready = gate.admin("/readyz").await;
    assert_eq!(unready.status, 503);
    let told = unready.json().unwrap()["reasons"].to_string();
    assert!(told.contains("the audit log takes no lines"), "{told}");
    let forwarded = gate.backend.requests().len();
    for _ in 0..5 {
        let answer = gate.http2(&cancel()).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (503, "AUDIT_LOG_UNAVAILABLE"));
    }
    assert_eq!(gate.backend.requests().len(), forwarded);

    point(&link, &file);
    signal(gate.pid(), "HUP");
    until("to be ready", async || gate.admin("/readyz").await.status == 200).await;
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    let allowed = || {
        let lines = lines_of(&file);
        lines.iter().filter(|line| line["protoPayload"]["metadata"]["decision"] == "ALLOWED").count()
    };
    until("the lines", async || allowed() == forwarded + 1).await;
    assert_eq!(gate.backend.requests().len(), forwarded + 1);
    assert_eq!(gate.metric("opgate_audit_lines_total").await + dropped(&gate, "queue_full").await, {
        lines_of(&file).len() as u64
    });
}

/// What a stuck reader takes in the end is all that was sent.
#[tokio::test]
async fn a_pipe_that_is_read_late_loses_nothing_that_the_queue_holds() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Reads nothing before it is told to.
    let read = format!("exec 3<>{0}; read go; exec cat {0}", pipe.display());
    let mut reader =
        Command::new("sh").args(["-c", &read]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let gate = gate_writing_to(&pipe.display().to_string(), &[]);
    let requests = 300;
    for _ in 0..requests {
        assert_eq!(gate.http1(&get()).await.status, 200);
    }
    until("a queue", async || gate.metric("opgate_audit_queue_lines").await > 0).await;
    assert!(gate.metric("opgate_audit_queue_bytes").await > 0);
    assert!(gate.metric("opgate_audit_queue_capacity_lines").await >= 300);
    drop(reader.stdin.take());
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    for _ in 0..requests {
        check_line(&lines.next().unwrap().unwrap());
    }
    until("all written", async || gate.metric("opgate_audit_lines_total").await == requests).await;
    assert_eq!(dropped(&gate, "queue_full").await + dropped(&gate, "write").await, 0);
    reader.kill().unwrap();
    reader.wait().unwrap();
}

/// Both ways of logrotate: with a signal, and by the path alone.
#[tokio::test]
async fn a_log_that_is_rotated_lacks_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let gate = gate_writing_to(&path.display().to_string(), &[]);
    let mut old = Vec::new();
    for round in 0..6 {
        for _ in 0..10 {
            assert_eq!(gate.http1(&cancel()).await.status, 200);
        }
        if round % 2 == 0 {
            old.push(directory.path().join(format!("log.{round}")));
            std::fs::rename(&path, old.last().unwrap()).unwrap();
            if round == 2 {
                signal(gate.pid(), "HUP");
            }
        }
    }
    until("all lines", async || {
        let all = old.iter().chain([&path]).map(|path| lines_of(path).len());
        all.sum::<usize>() == 60
    })
    .await;
    assert!(!lines_of(&path).is_empty());
}

#[tokio::test]
async fn lines_go_to_a_unix_socket_and_to_the_next_one_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let gate = gate_writing_to(&format!("unix:{}", path.display()), &[]);
    let (stream, _) = listener.accept().unwrap();
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    let mut lines = BufReader::new(stream).lines();
    check_line(&lines.next().unwrap().unwrap());
    // The collector restarts.
    drop((lines, listener));
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    let (stream, _) = listener.accept().unwrap();
    check_line(&BufReader::new(stream).lines().next().unwrap().unwrap());
    assert_eq!(dropped(&gate, "write").await, 0);
}

/// RFC 5424, section 6: `<PRI>1 TIMESTAMP HOST APP PROCID MSGID SD MSG`.
fn check_message(message: &str, gate: &Gate) {
    let mut words = message.splitn(8, ' ');
    let head: Vec<&str> = words.by_ref().take(7).collect();
    let line = words.next().unwrap();
    check_line(line);
    let value: Value = serde_json::from_str(line).unwrap();
    // The facility "log audit", and the severity "notice".
    assert_eq!(head[0], "<109>1");
    assert_eq!(head[1], value["timestamp"]);
    assert_eq!(head[2], value["labels"]["opgate/instance"]);
    assert_eq!(head[3..], ["opgate", &gate.pid().to_string(), "audit", "-"]);
}

#[tokio::test]
async fn lines_are_messages_of_syslog_over_a_datagram_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let gate = gate_writing_to(&format!("syslog:{}", path.display()), &["audit.instance=gate-7"]);
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    let mut buffer = vec![0; 64 * 1024];
    let length = socket.recv(&mut buffer).unwrap();
    check_message(std::str::from_utf8(&buffer[..length]).unwrap(), &gate);
    // syslogd restarts.
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    let socket = UnixDatagram::bind(&path).unwrap();
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    let length = socket.recv(&mut buffer).unwrap();
    check_message(std::str::from_utf8(&buffer[..length]).unwrap(), &gate);
    assert_eq!(dropped(&gate, "write").await, 0);
}

#[tokio::test]
async fn lines_are_counted_messages_of_syslog_over_tcp() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let gate = gate_writing_to(&format!("syslog:tcp://{address}"), &[]);
    let (mut stream, _) = listener.accept().unwrap();
    for _ in 0..3 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
    }
    for _ in 0..3 {
        // RFC 6587, section 3.4.1: the length in bytes, a blank, the message.
        let mut length = String::new();
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte).unwrap();
            if byte == [b' '] {
                break;
            }
            length.push(char::from(byte[0]));
        }
        let mut message = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut message).unwrap();
        check_message(std::str::from_utf8(&message).unwrap(), &gate);
    }
}

#[tokio::test]
async fn nothing_is_written_where_the_log_is_off() {
    let mut gate = Gate::start_with(Setup {
        set: vec!["audit.output=off".to_owned()],
        stdout: Some(Stdio::piped()),
        ..Setup::default()
    });
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    let mut stdout = gate.stdout();
    assert!(gate.terminate().success());
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), gate.audit_text().as_str()), ("", ""));
}
