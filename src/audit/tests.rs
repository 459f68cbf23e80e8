use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::backlog::{QUEUE_BYTES, SPARE_BYTES};
use super::*;

fn instruments() -> Instruments {
    Instruments::register(&crate::metrics::Registry::default()).unwrap()
}

#[test]
fn every_queued_line_is_written_before_the_log_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let instruments = instruments();
    let audit = Audit::open(&AuditOutput::File(path.clone()), instruments.clone(), Vec::new()).unwrap();
    for number in 0..1000 {
        audit.queue(format!("{{\"number\":{number}}}"));
    }
    drop(audit);
    assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 1000);
    assert_eq!(instruments.lost(), 0);
}

/// As while one process takes over from another.
#[test]
fn two_that_append_to_one_file_tear_no_line_of_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let instruments = instruments();
    let output = AuditOutput::File(path.clone());
    // Longer than a small buffer, and many, so that both write at the same time; not more than the queue holds.
    let lines = ["a", "b"].map(|letter| letter.repeat(4000));
    let writers =
        lines.each_ref().map(|line| (line, Audit::open(&output, instruments.clone(), Vec::new()).unwrap()));
    for _ in 0..3000 {
        for (line, audit) in &writers {
            audit.queue(line.to_string());
        }
    }
    drop(writers);
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().filter(|line| lines.iter().any(|whole| whole == line)).count(), 6000);
    assert_eq!(instruments.lost(), 0);
}

#[test]
fn a_full_disk_is_counted() {
    let instruments = instruments();
    let full = AuditOutput::File("/dev/full".into());
    let audit = Audit::open(&full, instruments.clone(), Vec::new()).unwrap();
    for _ in 0..2000 {
        audit.queue("x".repeat(100));
    }
    drop(audit);
    assert_eq!(instruments.lost(), 2000);
}

#[test]
fn the_log_is_not_readable_by_everyone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    drop(Audit::open(&AuditOutput::File(path.clone()), instruments(), Vec::new()).unwrap());
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o137, 0);
}

/// logrotate renames the file: later lines go to the path, and no line is lost.
#[test]
fn a_file_that_is_renamed_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = (directory.path().join("audit.jsonl"), directory.path().join("audit.jsonl.1"));
    let instruments = instruments();
    let audit = Audit::open(&AuditOutput::File(path.clone()), instruments.clone(), Vec::new()).unwrap();
    let count = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let until = |path: &std::path::Path, lines: usize| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while count(path) < lines {
            assert!(Instant::now() < deadline, "{} lines", count(path));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    audit.queue("first".to_owned());
    until(&path, 1);
    fs::rename(&path, &old).unwrap();
    for _ in 0..10 {
        audit.queue("second".to_owned());
    }
    until(&path, 10);
    fs::remove_file(&path).unwrap();
    audit.queue("third".to_owned());
    until(&path, 1);
    drop(audit);
    assert_eq!(
        (fs::read_to_string(&old).unwrap(), fs::read_to_string(&path).unwrap()),
        ("first\n".to_owned(), "third\n".to_owned())
    );
    assert_eq!(instruments.lost(), 0);
}

/// A device that takes some bytes of every write and is full now and then.
struct Flaky {
    written: Arc<Mutex<Vec<u8>>>,
    calls: usize,
}

impl Write for Flaky {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(13);
        self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_after_a_failed_write_begins_anew() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let instruments = instruments();
    let flaky = Flaky { written: written.clone(), calls: 0 };
    let audit = Audit::start(Sink::Stream(Box::new(flaky)), instruments.clone(), Vec::new()).unwrap();
    let lines: Vec<String> = (0..100).map(|number| format!("<{number:010}>")).collect();
    for line in &lines {
        audit.queue(line.clone());
        // One at a time: batches of one line.
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(audit);
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let whole = text.lines().filter(|line| lines.iter().any(|known| known == line)).count();
    // Whatever else there is, is the beginning of one line.
    for torn in text.lines().filter(|line| !line.ends_with('>')) {
        assert!(torn.is_empty() || lines.iter().any(|line| line.starts_with(torn)), "{torn:?}");
    }
    assert!(whole > 0 && instruments.lost() > 0, "{whole} whole, {} dropped", instruments.lost());
    assert_eq!(whole as u64 + instruments.lost(), 100, "a line is there or counted");
}

/// Takes nothing, and gives no error.
struct Stalled(Receiver<()>);

impl Write for Stalled {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_log_that_nothing_takes_is_bounded_in_bytes_and_does_not_hold_the_end() {
    let (reader, stalled) = channel();
    let instruments = instruments();
    let audit =
        Audit::start(Sink::Stream(Box::new(Stalled(stalled))), instruments.clone(), Vec::new()).unwrap();
    let line = "x".repeat(100_000);
    for _ in 0..1000 {
        audit.queue(line.clone());
    }
    let lost = instruments.queue_full.get();
    let bytes = line.len() as u64;
    assert!((1000 - lost) * bytes <= QUEUE_BYTES && (1001 - lost) * bytes > QUEUE_BYTES, "{lost}");
    assert!(audit.backlog.bytes() <= QUEUE_BYTES + SPARE_BYTES);
    let began = Instant::now();
    drop(audit);
    assert!(began.elapsed() < LAST_LINES, "{:?}", began.elapsed());
    drop(reader);
}

/// As a pipe that nothing reads: what observers see does not depend on it.
#[test]
fn an_observer_sees_every_line_though_the_output_is_stuck() {
    let (reader, stalled) = channel();
    let (saw, seen) = channel();
    let observer = Observer::new(move |line| saw.send(line.to_owned()).unwrap());
    let sink = Sink::Stream(Box::new(Stalled(stalled)));
    let audit = Audit::start(sink, instruments(), vec![observer]).unwrap();
    let line = "x".repeat(100_000);
    for number in 0..200 {
        audit.queue(format!("{number}{line}"));
        let shown = seen.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(shown, format!("{number}{line}"));
    }
    assert!(audit.instruments.queue_full.get() > 0);
    drop(reader);
}

#[test]
fn an_observer_that_fails_takes_neither_the_log_nor_the_others_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let (saw, seen) = channel();
    let observers = vec![
        Observer::new(|_| panic!("as a bug would")),
        Observer::new(move |line| saw.send(line.to_owned()).unwrap()),
    ];
    let audit = Audit::open(&AuditOutput::File(path.clone()), instruments(), observers).unwrap();
    for line in ["one", "two"] {
        audit.queue(line.to_owned());
        assert_eq!(seen.recv_timeout(Duration::from_secs(10)).unwrap(), line);
    }
    drop(audit);
    assert_eq!(fs::read_to_string(path).unwrap(), "one\ntwo\n");
}
