use std::os::unix::fs::symlink;
use std::time::Duration;

use rustix::fs::inotify;

use super::*;

fn read(directory: &Path) -> (Option<PolicyFiles>, String) {
    let mut report = Report::new();
    let files = Directory::new(directory).read(&mut report);
    (files, report.render(false))
}

fn revision(directory: &Path) -> String {
    read(directory).0.unwrap().revision().whole.clone()
}

/// What loading a folder finds: the stems of its files, and what is told.
fn below(files: &PolicyFiles, folder: &str) -> (Vec<String>, String) {
    let mut report = Report::new();
    let found = files.below(folder, &mut report);
    (found.iter().map(|file| file.stem.to_string()).collect(), report.render(false))
}

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The name of a resource may end like that of a backup.
#[test]
fn a_directory_is_not_taken_for_what_an_editor_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let bucket = directory.path().join("deny/projects/demo/buckets/archive.tmp");
    write(bucket.join("freeze.yaml"), "");
    write(bucket.join("freeze.yaml~"), "");
    let (files, report) = read(directory.path());
    assert_eq!(report, "");
    let (stems, told) = below(&files.unwrap(), "deny");
    assert_eq!(stems, ["projects/demo/buckets/archive.tmp/freeze"]);
    assert!(told.starts_with("warning: the file is passed over: an editor"), "{told}");
}

#[test]
fn what_editors_merges_and_packages_leave_behind_is_passed_over_and_other_names_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let left = [
        "demo.yaml~",
        "#demo.yaml#",
        "demo.yaml.bak",
        "demo.yaml.orig",
        "demo.yaml.rej",
        "demo.yaml.save",
        "demo.yaml.swp",
        "demo.yaml___jb_tmp___",
        "demo.yaml.dpkg-old",
        "demo.yaml.dpkg-dist",
        "demo.yaml.ucf-new",
        "demo.yaml.rpmnew",
        "4913",
        "Thumbs.db",
        "desktop.ini",
    ];
    for name in left {
        write(directory.path().join("allow/projects").join(name), "half [");
    }
    let (_, told) = below(&read(directory.path()).0.unwrap(), "allow");
    assert_eq!(told.matches("warning: the file is passed over").count(), left.len(), "{told}");
    assert!(!told.contains("error"), "{told}");
    for name in ["demo", "demo.txt", "demo.yaml.1", "README.md", "demo.bak.txt", "49134"] {
        write(directory.path().join("allow/projects").join(name), "");
        let (_, told) = below(&read(directory.path()).0.unwrap(), "allow");
        assert!(told.contains("error: the file is neither `.yaml` nor `.json`"), "{name}: {told}");
        fs::remove_file(directory.path().join("allow/projects").join(name)).unwrap();
    }
}

#[test]
fn a_directory_that_links_lead_to_is_in_the_tree_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("allow/projects")).unwrap();
    for name in ["a", "b"] {
        symlink("projects", directory.path().join("allow").join(name)).unwrap();
        symlink("..", directory.path().join("allow/projects").join(name)).unwrap();
    }
    let (files, report) = read(directory.path());
    assert!(files.is_none());
    assert!(report.contains("the directory is in the tree twice"), "{report}");
}

#[test]
fn a_missing_directory_is_told() {
    let (files, report) = read(Path::new("no/such/directory"));
    assert!(files.is_none());
    assert!(report.contains("cannot read the directory"), "{report}");
}

#[test]
fn a_link_that_leads_nowhere_is_not_taken_for_an_absent_file() {
    for name in ["allow", "deny", "boundaries", "roles", "hierarchy.yaml", "groups.yaml", "tags.yaml"] {
        let directory = tempfile::tempdir().unwrap();
        symlink("gone", directory.path().join(name)).unwrap();
        let (files, _) = read(directory.path());
        let mut report = Report::new();
        let policy = crate::policy::Policy::load(files.unwrap(), &[], &mut report);
        assert_eq!(policy.counts(), crate::policy::PolicyCounts::default());
        assert!(report.render(false).contains("the link leads nowhere"), "{name}: {}", report.render(false));
    }
}

/// A directory, a pipe, a file in place of a folder, text that is not UTF-8: none of it is as good as nothing.
#[test]
fn what_cannot_hold_rules_and_has_the_name_of_something_that_does_is_an_error() {
    let told = |make: &dyn Fn(&Path)| {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let (files, report) = read(directory.path());
        assert_eq!(report, "");
        let mut report = Report::new();
        crate::policy::Policy::load(files.unwrap(), &[], &mut report);
        assert!(report.is_fatal(), "{}", report.render(false));
        report.render(false).replace(directory.path().to_str().unwrap(), "policies")
    };
    let pipe = |path: PathBuf| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let all = [
        told(&|root| fs::create_dir(root.join("hierarchy.yaml")).unwrap()),
        told(&|root| pipe(root.join("groups.yaml"))),
        told(&|root| fs::write(root.join("deny"), "").unwrap()),
        told(&|root| pipe(root.join("roles"))),
        told(&|root| fs::write(root.join("tags.yaml"), b"a: \xff").unwrap()),
        told(&|root| fs::create_dir(root.join("alow")).unwrap()),
        told(&|root| write(root.join("allow/projects/demo.yml"), "")),
        told(&|root| write(root.join("allow/projects/demo.txt"), "")),
    ];
    insta::assert_snapshot!(all.concat());
}

#[test]
fn a_tree_that_changes_while_it_is_read_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    fs::write(&path, "old").unwrap();
    let source = Directory::new(directory.path());
    let mut readings = 0;
    let mut report = Report::new();
    let files = source.read_unchanged(&mut report, |survey, begun, found| {
        readings += 1;
        let files = source.read_files(survey, begun, found);
        if readings == 1 {
            // Past the tick in which the file was made: otherwise its second reading finds the change.
            std::thread::sleep(files::TICK);
            fs::write(&path, "new").unwrap();
        }
        files
    });
    assert_eq!(readings, 2);
    assert_eq!(files.unwrap().revision().whole, revision(directory.path()));
    assert!(report.diagnostics().is_empty());
}

/// Its time may be the same before and after, and so may its length.
#[test]
fn a_file_that_was_changed_just_now_is_compared() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    fs::write(&path, "old").unwrap();
    let mut report = Report::new();
    let survey = Survey::of(directory.path(), &mut report).unwrap();
    let just_now = survey.files.values().next().unwrap().changed();
    let opened = opened_while(directory.path(), || {
        let read = Directory::new(directory.path()).read_files(&survey, just_now, &mut report);
        assert!(matches!(read, ReadAttempt::Whole(_)));
    });
    assert_eq!(opened, ["a.yaml", "a.yaml"]);
}

#[test]
fn a_file_that_takes_the_place_of_another_while_the_tree_is_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    fs::write(&path, "old").unwrap();
    let mut report = Report::new();
    let survey = Survey::of(directory.path(), &mut report).unwrap();
    fs::write(directory.path().join(".next"), "new").unwrap();
    fs::rename(directory.path().join(".next"), &path).unwrap();
    let read = Directory::new(directory.path()).read_files(&survey, clock::now(), &mut report);
    assert!(matches!(read, ReadAttempt::Changed));
}

#[test]
fn a_tree_that_never_holds_still_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut readings = 0;
    let mut report = Report::new();
    let files = Directory::new(directory.path()).read_unchanged(&mut report, |_, _, _| {
        readings += 1;
        fs::write(directory.path().join("a"), readings.to_string().repeat(readings)).unwrap();
        ReadAttempt::Whole(())
    });
    assert!(files.is_none());
    assert_eq!(readings, ATTEMPTS);
    assert!(report.is_fatal());
}

#[test]
fn a_file_that_may_not_be_read_refuses_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("big.yaml");
    fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    let (files, report) = read(directory.path());
    assert!(files.is_none());
    assert!(report.contains("cannot read it: it is longer than"), "{report}");
}

/// The names of the files in a directory that are opened meanwhile, as the kernel tells.
fn opened_while(directory: &Path, act: impl FnOnce()) -> Vec<String> {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    // Ends of reading stand between: the kernel tells of equal events that follow each other once.
    let events = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE_NOWRITE;
    inotify::add_watch(&watch, directory, events).unwrap();
    act();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let mut opened = Vec::new();
    while let Ok(event) = events.next() {
        let flags = event.events();
        if flags.contains(inotify::ReadFlags::OPEN) && !flags.contains(inotify::ReadFlags::ISDIR) {
            opened.push(event.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    opened
}

#[test]
fn each_file_is_opened_once() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["groups.yaml", "hierarchy.yaml", "tags.yaml"] {
        fs::write(directory.path().join(name), "{}").unwrap();
    }
    std::thread::sleep(files::TICK + Duration::from_millis(10));
    let opened = opened_while(directory.path(), || {
        let mut report = Report::new();
        let source = crate::source::PolicySource::directory(directory.path());
        let tree = crate::decision::snapshot::SnapshotTree::read(&source, &[], &Default::default(), None);
        report.absorb(tree.policies);
        assert!(tree.policy.is_some(), "{}", report.render(false));
    });
    assert_eq!(opened, ["groups.yaml", "hierarchy.yaml", "tags.yaml"]);
}

#[test]
fn a_revision_names_the_content() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), "1").unwrap();
    let first = revision(directory.path());
    assert_eq!(first.len(), 12);
    assert_eq!(revision(directory.path()), first);
    fs::write(directory.path().join("a"), "2").unwrap();
    let second = revision(directory.path());
    assert_ne!(first, second);
    fs::rename(directory.path().join("a"), directory.path().join("b")).unwrap();
    assert_ne!(revision(directory.path()), second);
}

/// As Kubernetes mounts a volume: the files lie in a directory that is named for the time.
#[test]
fn one_config_map_has_one_revision_wherever_it_is_mounted() {
    let mount = |at: &str| {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join(at)).unwrap();
        fs::write(root.join(at).join("a.yaml"), "1").unwrap();
        symlink(at, root.join("..data")).unwrap();
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
        revision(root)
    };
    assert_eq!(mount("..2026_11_24_03_00_00.1"), mount("..2026_11_24_03_00_07.2"));
}
