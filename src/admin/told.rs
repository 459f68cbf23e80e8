//! Who may read policy at one address: every client, none, or one that shows the token.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::http::{HeaderMap, StatusCode, header};

use super::AdminSettings;
use super::refused::AdminRefusal;
use crate::authn::Secret;

/// How often the file of the token is checked for changes.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Who may read policy.
#[derive(Clone, Debug)]
pub(super) enum PolicyReaders {
    Always,
    Never,
    Bearer(Arc<TokenFile>),
}

impl PolicyReaders {
    /// Judges what a request shows.
    ///
    /// # Errors
    /// 404 where no client may read it; 401 without the token (RFC 6750, section 3).
    pub(super) fn judge(&self, headers: &HeaderMap) -> Result<(), AdminRefusal> {
        match self {
            Self::Always => Ok(()),
            Self::Never => {
                let help = "`admin.explain` of the configuration says where, if anywhere";
                Err(AdminRefusal::new("policy cannot be read at this address", help)
                    .with(StatusCode::NOT_FOUND))
            }
            Self::Bearer(file) => file.judge(headers),
        }
    }
}

/// A token, as the file holds it: a changed file is read again. Where it cannot be read, no token is right until it
/// can.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    secret: ArcSwapOption<Secret>,
}

impl TokenFile {
    /// Reads the file, and again whenever it changes: on a thread of its own, since a file system can hang.
    pub(super) fn watch(path: &Path) -> std::io::Result<Arc<Self>> {
        let file = Arc::new(Self { path: path.to_owned(), secret: ArcSwapOption::empty() });
        let seen = state_of(path);
        let seen = file.read().then_some(seen);
        let watched = Arc::downgrade(&file);
        std::thread::Builder::new().name("opgate-token".to_owned()).spawn(move || look(&watched, seen))?;
        Ok(file)
    }

    /// Whether it could be read.
    fn read(&self) -> bool {
        match Secret::read(&self.path) {
            Ok(secret) if secret.len() >= AdminSettings::SHORTEST_TOKEN => {
                self.secret.store(Some(Arc::new(secret)));
                return true;
            }
            Ok(_) => self.refuse("it is too short"),
            Err(error) => self.refuse(&error.to_string()),
        }
        false
    }

    /// The token that is right now; `None` where the file cannot be read.
    pub(super) fn in_force(&self) -> Option<Arc<Secret>> {
        self.secret.load_full()
    }

    fn refuse(&self, why: &str) {
        // Logged once: the file is read again and again.
        if self.secret.swap(None).is_some() {
            let path = self.path.display();
            tracing::error!(%path, "the token of `admin.explain` cannot be read, and none is right until it can: {why}");
        }
    }

    fn judge(&self, headers: &HeaderMap) -> Result<(), AdminRefusal> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let Some(field) = fields.next() else {
            return Err(AdminRefusal::unauthorized("a token is needed", "Bearer realm=\"opgate\""));
        };
        let offered = bearer(field.as_bytes()).filter(|_| fields.next().is_none());
        let secret = self.secret.load();
        // Without a secret no token is right.
        match (offered, secret.as_ref()) {
            (Some(offered), Some(secret)) if secret.is(offered) => Ok(()),
            _ => {
                let challenge = "Bearer realm=\"opgate\", error=\"invalid_token\"";
                Err(AdminRefusal::unauthorized("this is not the token", challenge))
            }
        }
    }
}

/// The token of a field, whose scheme may be in any case (RFC 9110, section 11.1).
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Facts that change with a file, more than its time: that may stay equal.
type FileState = Option<(u64, u64, i64, i64, i64, i64)>;

fn state_of(path: &Path) -> FileState {
    use std::os::unix::fs::MetadataExt;
    let of = std::fs::metadata(path).ok()?;
    Some((of.ino(), of.size(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()))
}

/// `seen` is what was read the last time; `None` where it could not be.
fn look(file: &Weak<TokenFile>, mut seen: Option<FileState>) {
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Some(file) = file.upgrade() else { return };
        let state = state_of(&file.path);
        if seen != Some(state) {
            seen = file.read().then_some(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn judge(file: &TokenFile, fields: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(field).unwrap());
        }
        file.judge(&headers).is_ok()
    }

    #[test]
    fn the_token_alone_is_good() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let file = TokenFile { path, secret: ArcSwapOption::empty() };
        assert!(!judge(&file, &["Bearer "]), "nothing is read, nothing is good");
        assert!(file.read());
        assert!(judge(&file, &["Bearer 0123456789abcdef"]));
        assert!(judge(&file, &["bearer 0123456789abcdef"]));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Basic 0123456789abcdef",
            "Bearer  0123456789abcdef",
            "Bearer 0123456789abcde",
        ] {
            assert!(!judge(&file, &[wrong]), "{wrong:?}");
        }
        assert!(!judge(&file, &[]));
        assert!(!judge(&file, &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"]));
        // A token that was removed is good no more; one that can be guessed never is.
        for content in ["", "short"] {
            std::fs::write(&file.path, content).unwrap();
            assert!(!file.read());
            assert!(!judge(&file, &["Bearer 0123456789abcdef"]) && !judge(&file, &["Bearer short"]));
        }
        std::fs::write(&file.path, "fedcba9876543210").unwrap();
        assert!(file.read() && judge(&file, &["Bearer fedcba9876543210"]));
    }
}
