//! Paths in the file, which are relative to it.

use std::path::{Component, Path, PathBuf};

/// A path of the file as it is opened and shown: `config/../policies` is `policies`.
///
/// A `..` removes the name before it only where that is a directory and not a symbolic link: elsewhere the path means
/// something else, or nothing, and stays as it was written.
pub(crate) fn located(base: &Path, written: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in base.join(written).components() {
        if component == Component::ParentDir
            && matches!(path.components().next_back(), Some(Component::Normal(_)))
            && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
        {
            path.pop();
        } else {
            path.push(component);
        }
    }
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_detours() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("config")).unwrap();
        let config = root.join("config");
        assert_eq!(located(&config, "../policies"), root.join("policies"));
        assert_eq!(located(&config, "./keys/../a.json"), config.join("keys/../a.json"));
        assert_eq!(located(&config, "."), config);
        assert_eq!(located(&config, "/etc/policies"), Path::new("/etc/policies"));
        assert_eq!(located(Path::new(""), "../policies"), Path::new("../policies"));
        assert_eq!(located(Path::new("../x"), "../../y"), Path::new("../x/../../y"));
        assert_eq!(located(Path::new("src"), ".."), Path::new("."));
    }

    #[test]
    fn a_detour_by_a_symbolic_link_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("elsewhere/config")).unwrap();
        std::fs::create_dir(root.join("elsewhere/policies")).unwrap();
        std::os::unix::fs::symlink(root.join("elsewhere/config"), root.join("config")).unwrap();
        let path = located(&root.join("config"), "../policies");
        assert_eq!(path, root.join("config/../policies"));
        assert!(path.is_dir());
    }
}
