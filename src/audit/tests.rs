use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::backlog::{QUEUE_BYTES, SPARE_BYTES};
use super::sink::{StreamSink, TornStream};
use super::*;

fn to_file(path: &std::path::Path) -> AuditSettings {
    AuditSettings { output: AuditOutput::File(path.to_owned()), ..AuditSettings::default() }
}

/// Writes to something that tests make.
fn to_stream(stream: impl Write + Send + 'static, settings: &AuditSettings) -> Audit {
    let sink = Box::new(StreamSink(TornStream::new(Box::new(stream))));
    Audit::start(sink, settings, "gate-1", instruments(), Vec::new()).unwrap()
}

impl Audit {
    /// Queues text as if it were a line.
    fn put(&self, text: impl Into<Arc<str>>) {
        let end = CancelEnd {
            request_id: "",
            service: "",
            method: "",
            operation: "",
            principal: None,
            email: None,
            outcome: "",
            request_time: std::time::UNIX_EPOCH,
            observe_time: std::time::UNIX_EPOCH,
            seen_by: None,
        };
        let entry = end.log_entry();
        let line = SeenLine::new(text.into(), seen::TextPlaces::default(), &entry);
        self.queue(line, None, &entry, Wanted::Written, None);
    }
}

fn instruments() -> Instruments {
    Instruments::register(&crate::metrics::Registry::default()).unwrap()
}

#[test]
fn every_queued_line_is_written_before_the_log_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let instruments = instruments();
    let audit = Audit::open(&to_file(&path), instruments.clone(), Vec::new()).unwrap();
    for number in 0..1000 {
        audit.put(format!("{{\"number\":{number}}}"));
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
    let output = to_file(&path);
    // Longer than a small buffer, and many, so that both write at the same time; not more than the queue holds.
    let lines = ["a", "b"].map(|letter| letter.repeat(4000));
    let writers =
        lines.each_ref().map(|line| (line, Audit::open(&output, instruments.clone(), Vec::new()).unwrap()));
    for _ in 0..3000 {
        for (line, audit) in &writers {
            audit.put(line.to_string());
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
    let full = to_file("/dev/full".as_ref());
    let audit = Audit::open(&full, instruments.clone(), Vec::new()).unwrap();
    for _ in 0..2000 {
        audit.put("x".repeat(100));
    }
    drop(audit);
    assert_eq!(instruments.lost(), 2000);
}

#[test]
fn the_log_is_not_readable_by_everyone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    drop(Audit::open(&to_file(&path), instruments(), Vec::new()).unwrap());
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o137, 0);
}

/// logrotate renames the file: later lines go to the path, and no line is lost.
#[test]
fn a_file_that_is_renamed_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = (directory.path().join("audit.jsonl"), directory.path().join("audit.jsonl.1"));
    let instruments = instruments();
    let audit = Audit::open(&to_file(&path), instruments.clone(), Vec::new()).unwrap();
    let count = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let until = |path: &std::path::Path, lines: usize| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while count(path) < lines {
            assert!(Instant::now() < deadline, "{} lines", count(path));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    audit.put("first".to_owned());
    until(&path, 1);
    fs::rename(&path, &old).unwrap();
    for _ in 0..10 {
        audit.put("second".to_owned());
    }
    until(&path, 10);
    fs::remove_file(&path).unwrap();
    audit.put("third".to_owned());
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
        // Twice in a row: what fails once is tried again.
        if self.calls % 5 < 2 {
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
    let flaky = Flaky { written: written.clone(), calls: 0 };
    let audit = to_stream(flaky, &AuditSettings::default());
    let instruments = audit.instruments.clone();
    let lines: Vec<String> = (0..100).map(|number| format!("<{number:010}>")).collect();
    for line in &lines {
        audit.put(line.clone());
        // One at a time: batches of one line.
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(audit);
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let whole = text.lines().filter(|line| lines.iter().any(|known| known == line)).count();
    // Whatever else there is, is the beginning of one line, or tells of lines that are missing.
    for torn in text.lines().filter(|line| !line.ends_with('>')) {
        let is_gap = torn.starts_with("{\"timestamp\"");
        assert!(torn.is_empty() || is_gap || lines.iter().any(|line| line.starts_with(torn)), "{torn:?}");
    }
    assert!(whole > 0 && instruments.lost() > 0, "{whole} whole, {} dropped", instruments.lost());
    assert_eq!(instruments.lines.get() + instruments.lost(), 100, "a line is written or counted");
    // One of which only the end is missing is written once more.
    let there = lines.iter().filter(|line| text.lines().any(|whole| whole == *line)).count();
    assert!(there as u64 >= instruments.lines.get(), "what counts as written is there");
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
    let audit = to_stream(Stalled(stalled), &AuditSettings::default());
    let instruments = audit.instruments.clone();
    let line = "x".repeat(100_000);
    for _ in 0..1000 {
        audit.put(line.clone());
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
    let observer = Observer::new(move |line| saw.send(line.text().to_string()).unwrap());
    let sink = Box::new(StreamSink(TornStream::new(Box::new(Stalled(stalled)))));
    let settings = AuditSettings::default();
    let audit = Audit::start(sink, &settings, "gate-1", instruments(), vec![observer]).unwrap();
    let line = "x".repeat(100_000);
    for number in 0..200 {
        audit.put(format!("{number}{line}"));
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
        Observer::new(move |line| saw.send(line.text().to_string()).unwrap()),
    ];
    let audit = Audit::open(&to_file(&path), instruments(), observers).unwrap();
    for line in ["one", "two"] {
        audit.put(line.to_owned());
        assert_eq!(seen.recv_timeout(Duration::from_secs(10)).unwrap(), line);
    }
    drop(audit);
    assert_eq!(fs::read_to_string(path).unwrap(), "one\ntwo\n");
}

mod lines;

/// Takes lines while it is let to, and is full else.
struct Disk {
    written: Arc<Mutex<Vec<u8>>>,
    is_full: Arc<std::sync::atomic::AtomicBool>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full.load(Ordering::Acquire) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn disk() -> (Disk, Arc<Mutex<Vec<u8>>>, Arc<std::sync::atomic::AtomicBool>) {
    let (written, is_full) = (Arc::default(), Arc::default());
    let disk = Disk { written: Arc::clone(&written), is_full: Arc::clone(&is_full) };
    (disk, written, is_full)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_log_says_how_many_lines_it_lacks_once_it_is_written_again() {
    let (disk, written, is_full) = disk();
    let audit = to_stream(disk, &AuditSettings::default());
    audit.put("first");
    until("the first line", || audit.status().written == 1);
    is_full.store(true, Ordering::Release);
    for _ in 0..5 {
        audit.put("lost");
    }
    until("five losses", || audit.status().lost.write == 5);
    assert!(audit.status().failure.is_some() && !audit.status().is_refusing);
    is_full.store(false, Ordering::Release);
    audit.put("second");
    until("the second line", || audit.status().written == 2);
    assert_eq!(audit.status().failure, None);
    drop(audit);
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (3, "first", "second"), "{text}");
    let gap: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(gap["protoPayload"]["metadata"]["lost"], 5);
    assert_eq!(gap["severity"], "ERROR");
}

#[test]
fn no_line_of_a_log_that_refuses_is_lost() {
    let (disk, written, is_full) = disk();
    let settings = AuditSettings { when_full: WhenFull::Refuse, ..AuditSettings::default() };
    let audit = to_stream(disk, &settings);
    let place = audit.reserve().unwrap();
    assert!(place.is_some());
    is_full.store(true, Ordering::Release);
    audit.put("kept");
    until("the failure", || audit.reserve().is_err_and(|why| why == NoPlace::Failing));
    assert!(audit.status().is_refusing);
    is_full.store(false, Ordering::Release);
    until("the line", || audit.reserve().is_ok());
    drop(place);
    drop(audit);
    assert_eq!(written.lock().unwrap().as_slice(), b"kept\n");
}

#[test]
fn a_log_that_refuses_gives_as_many_places_as_its_queue_has() {
    let (reader, stalled) = channel();
    let settings = AuditSettings { when_full: WhenFull::Refuse, ..AuditSettings::default() };
    let audit = to_stream(Stalled(stalled), &settings);
    let mut places = Vec::new();
    while let Ok(place) = audit.reserve() {
        places.push(place.unwrap());
    }
    assert_eq!(places.len() as u64, QUEUE_LINES);
    assert_eq!(audit.reserve().unwrap_err(), NoPlace::Full);
    places.pop();
    // One that is given back can be taken again; a line in its place keeps it.
    let place = audit.reserve().unwrap().unwrap();
    place.fill(10);
    assert_eq!(audit.reserve().unwrap_err(), NoPlace::Full);
    drop(reader);
}

#[test]
fn nothing_is_written_where_the_log_is_off_and_observers_see_refusals() {
    let settings = AuditSettings { output: AuditOutput::Off, ..AuditSettings::default() };
    let silent = Audit::open(&settings, instruments(), Vec::new()).unwrap();
    let observed = Audit::open(&settings, instruments(), vec![Observer::new(|_| {})]).unwrap();
    for kind in [Kind::Refused, Kind::Written, Kind::Unlogged] {
        assert_eq!(silent.wants(kind), Wanted::Not);
        let seen = if kind == Kind::Refused { Wanted::Seen } else { Wanted::Not };
        assert_eq!(observed.wants(kind), seen);
    }
}
