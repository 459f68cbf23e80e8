//! Reads files that an operator names: regular files only, and no more of one than its reader can use.
//!
//! A path may lead to a pipe, which waits for a writer for ever, or to a device, which never ends. Every reader of
//! configuration and policy files uses this.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// Where the file cannot be read, is not a regular file, or is longer.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_stamped(path, most).map(|(bytes, _)| bytes)
}

/// Reads a file as [`read`] does, and says which file it was when it was opened.
///
/// # Errors
/// As for [`read`].
pub fn read_stamped(path: &Path, most: u64) -> io::Result<(Vec<u8>, Stamp)> {
    // Checked before it is opened, since opening a device may have an effect, and after, since it may be another file
    // by then.
    let _ = regular(&fs::metadata(path)?)?;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let length = regular(&metadata)?;
    if length > most {
        return Err(too_long(most));
    }
    Ok((read_to(file, length, most)?, Stamp::of(&metadata)))
}

fn read_to(file: File, length: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default().saturating_add(1));
    // The length may be wrong: files of /proc have none.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long(most)) } else { Ok(bytes) }
}

/// The length of a regular file.
fn regular(metadata: &Metadata) -> io::Result<u64> {
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let kind = if metadata.is_dir() { "it is a directory" } else { "it is not a regular file" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, kind))
}

fn too_long(most: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {most} bytes"))
}

/// The longest tick of the kernel's clock for changes.
pub const TICK: Duration = Duration::from_millis(20);

/// The identity of one file. A file that was changed with its length and its modification time kept (`rsync -t`, `tar`)
/// has another change time, which cannot be set, and a file that replaced it has another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// What the system says of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// When it was last changed.
    pub fn changed(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let whole = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        SystemTime::UNIX_EPOCH + whole + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
    }

    /// Whether it may have been changed after a moment. The kernel's clock for changes goes in ticks: a change just before
    /// the moment counts as after it.
    pub fn is_newer_than(&self, moment: SystemTime) -> bool {
        self.changed() > moment.checked_sub(TICK).unwrap_or(moment)
    }
}

/// Directories that were entered, by inode and not by path: symbolic links may lead to one directory in many ways, or
/// in a circle.
#[derive(Debug, Default)]
pub struct Entered(HashSet<(u64, u64)>);

impl Entered {
    /// Notes that a directory is entered. Returns whether it is for the first time.
    pub fn enter(&mut self, directory: &Metadata) -> bool {
        self.0.insert((directory.dev(), directory.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn other_than_regular_files_are_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let zero = directory.path().join("zero");
        std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
        for path in [pipe.as_path(), zero.as_path(), directory.path()] {
            assert_eq!(
                read(path, 1 << 20).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_sparse_file_is_refused_by_its_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path, 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
