//! The files of keys: read, or made.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::dev::mint::Mint;
use crate::diagnostic::Report;
use crate::signing::{SigningAlgorithm, SigningKey};

/// Reads a private key. What is wrong is in the report.
pub(super) fn read_key(
    path: &Path,
    algorithm: Option<SigningAlgorithm>,
    report: &mut Report,
) -> Option<SigningKey> {
    let pem = match std::fs::read_to_string(path) {
        Ok(pem) => pem,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let diagnostic = report.file_error(path, format!("cannot read the key: {error}"));
            if missing {
                diagnostic.help("`--key FILE --new-key` makes it");
            }
            return None;
        }
    };
    let key = match SigningKey::from_pkcs8_pem(&pem) {
        Ok(key) => key,
        Err(error) => {
            report
                .file_error(path, format!("cannot use the key: {error}"))
                .help("`openssl pkcs8 -topk8 -nocrypt` turns other forms into PKCS#8");
            return None;
        }
    };
    let Some(algorithm) = algorithm else { return Some(key) };
    match key.with_algorithm(algorithm) {
        Ok(key) => Some(key),
        Err(error) => {
            report
                .file_error(path, format!("cannot use the key: {error}"))
                .help("leave out `--algorithm`, or use another key");
            None
        }
    }
}

/// Makes a key, its file and the file of its key set. Either both files are new and whole, or none is left behind.
pub(super) fn new_key(path: &Path, algorithm: SigningAlgorithm, report: &mut Report) -> Option<SigningKey> {
    let generated = SigningKey::generate(algorithm, None).and_then(|key| Ok((key.to_pkcs8_pem()?, key)));
    let (pem, key) = match generated {
        Ok(generated) => generated,
        Err(error) => {
            report.file_error(path, format!("cannot make a key: {error}"));
            return None;
        }
    };
    let mut jwks_path = path.as_os_str().to_owned();
    jwks_path.push(".jwks.json");
    let jwks_path = PathBuf::from(jwks_path);

    let mut key_file = create(path, 0o600, report)?;
    let written = key_file.write_all(pem.reveal().as_bytes()).and_then(|()| key_file.sync_all());
    if let Err(error) = written {
        report.file_error(path, format!("cannot write the file: {error}"));
        remove(path, report);
        return None;
    }
    let Some(mut jwks_file) = create(&jwks_path, 0o644, report) else {
        remove(path, report);
        return None;
    };
    if let Err(error) = jwks_file.write_all(format!("{:#}\n", key.jwks()).as_bytes()) {
        report.file_error(&jwks_path, format!("cannot write the file: {error}"));
        remove(&jwks_path, report);
        remove(path, report);
        return None;
    }
    Some(key)
}

/// Creates a file that does not exist yet. `mode` bounds who may read it from its first moment on.
fn create(path: &Path, mode: u32, report: &mut Report) -> Option<File> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            report
                .file_error(path, "the file exists already, and keys are never overwritten")
                .help("leave out `--new-key` to use the key that is there, or name another file");
            None
        }
        Err(error) => {
            report
                .file_error(path, format!("cannot create the file: {error}"))
                .help("its directory has to exist and be yours to write to");
            None
        }
    }
}

fn remove(path: &Path, report: &mut Report) {
    if let Err(error) = std::fs::remove_file(path) {
        report.file_error(path, format!("cannot remove the unfinished file: {error}"));
    }
}
