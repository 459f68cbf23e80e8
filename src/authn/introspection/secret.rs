//! The gate's own secrets: those that authenticate it at an issuer, and those that an operator shows to it.

use std::fmt;
use std::io;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use crate::files;

/// A longer file is not a secret but the wrong file. Bytes.
const LONGEST: u64 = 4096;

/// A text that is never printed. It cannot be cloned, so it stays where it was put.
pub struct Secret(Box<str>);

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    Unreadable(#[from] std::io::Error),
    /// A pipe or a device: to read it might never end.
    #[error("it is not a regular file")]
    NotAFile,
    /// It holds nothing.
    #[error("it is empty")]
    Empty,
    /// It holds more than a secret.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// It holds something else.
    #[error("it is not one line of printable ASCII")]
    NotText,
}

impl Secret {
    /// A secret that is made from others.
    pub(in crate::authn) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// Reads a file that holds the secret and nothing else but one line end after it.
    ///
    /// # Errors
    /// A file that cannot be read, or holds anything else (RFC 6749, appendix A.2).
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let bytes = match files::read(path, LONGEST + 2) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(SecretError::TooLong),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(SecretError::NotAFile),
            read => read?,
        };
        let text = bytes.strip_suffix(b"\n").map_or(&*bytes, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.len() as u64 > LONGEST {
            return Err(SecretError::TooLong);
        }
        match std::str::from_utf8(text) {
            Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Ok(Self(text.into())),
            _ => Err(SecretError::NotText),
        }
    }

    /// Whether a text is the secret. The time that it takes does not depend on how much of it is right, or on its
    /// length: digests are compared.
    pub fn is(&self, text: &[u8]) -> bool {
        let [held, offered] = [self.0.as_bytes(), text].map(|text| digest(&SHA256, text));
        verify_slices_are_equal(held.as_ref(), offered.as_ref()).is_ok()
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a secret is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The secret itself. The caller sends it where it belongs, and must not write it anywhere.
    pub(in crate::authn) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let secret = Secret::read(file.path());
        secret.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_one_line() {
        for text in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(read(text.as_bytes()).as_deref(), Ok("s3cret"), "{text:?}");
        }
        assert_eq!(read(b" a b ~\n").as_deref(), Ok(" a b ~"));
        for bytes in [&b"a\nb"[..], b"a\n\n", b"\ra", b"a\0", b"\xff", "caf\u{e9}".as_bytes()] {
            assert_eq!(read(bytes).unwrap_err(), "it is not one line of printable ASCII", "{bytes:?}");
        }
        for bytes in [&b""[..], b"\n", b"\r\n"] {
            assert_eq!(read(bytes).unwrap_err(), "it is empty", "{bytes:?}");
        }
        assert!(Secret::read(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn the_bound_is_exact() {
        for end in ["", "\n", "\r\n"] {
            assert_eq!(read(format!("{}{end}", "a".repeat(4096)).as_bytes()).unwrap().len(), 4096);
            assert_eq!(
                read(format!("{}{end}", "a".repeat(4097)).as_bytes()).unwrap_err(),
                "it is longer than 4096 bytes"
            );
        }
        assert_eq!(read(&[b'a'; 100_000]).unwrap_err(), "it is longer than 4096 bytes");
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(Secret::read(&pipe).unwrap_err().to_string(), "it is not a regular file");
        assert!(matches!(Secret::read(directory.path()), Err(SecretError::NotAFile)));
    }

    #[test]
    fn only_the_whole_of_it_is_it() {
        let secret = Secret::new("s3cret".to_owned());
        assert!(secret.is(b"s3cret"));
        for other in [&b""[..], b"s", b"s3cre", b"s3cret ", b"S3cret", b"s3cret\n"] {
            assert!(!secret.is(other), "{other:?}");
        }
    }

    #[test]
    fn nothing_prints_it() {
        assert_eq!(format!("{:?}", Secret::new("s3cret".to_owned())), "Secret(…)");
    }
}
