use super::*;

fn names(files: &PolicyFiles, folder: &str) -> Vec<String> {
    let mut report = Report::new();
    let found = files.below(folder, &mut report);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    found.iter().map(|file| file.stem.to_owned()).collect()
}

/// The order in which a walk meets them, which diagnostics stand in and the revision depends on.
#[test]
fn files_are_ordered_part_by_part() {
    let texts = [
        ("allow/projects/demo.yaml", ""),
        ("allow/projects/demo/locations/eu.yaml", ""),
        ("allow/projects/demo-2.yaml", ""),
        ("allow/folders/1.json", ""),
        ("allowed/x.yaml", ""),
    ];
    let files = PolicyFiles::in_memory("policies", texts);
    assert_eq!(
        names(&files, "allow"),
        ["folders/1", "projects/demo/locations/eu", "projects/demo-2", "projects/demo"]
    );
    assert_eq!(names(&files, "deny"), [""; 0]);
    assert_eq!(files.top(&mut Report::new()), ["allow", "allowed"]);
}

/// What `sha256sum` says of names and texts as they are hashed: a revision means the same in every release.
#[test]
fn a_source_in_memory_has_the_revision_of_the_same_directory() {
    let texts = [("services/a.yaml", "1"), ("README.md", "x"), ("allow/projects/demo.yaml", "bindings: []")];
    let memory = PolicyFiles::in_memory("policies", texts);
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let source = PolicySource::directory(directory.path());
    assert_eq!(source.watched(), Some(directory.path()));
    let read = source.read(&mut Report::new()).unwrap();
    assert_eq!(read.revision(), memory.revision());
    insta::assert_debug_snapshot!(memory.revision());

    let memory = Arc::new(memory);
    let source = PolicySource::Memory(memory.clone());
    assert_eq!(source.watched(), None);
    assert!(Arc::ptr_eq(&source.read(&mut Report::new()).unwrap(), &memory));
}

#[test]
fn a_place_leads_back_to_its_text() {
    let files = PolicyFiles::in_memory("policies", [("services/a.yaml", "name: a"), ("README", "b")]);
    let place = |file: &str| Place { file: file.into(), line: 1 };
    assert_eq!(files.source_of(&place("policies/services/a.yaml")).unwrap().text, "name: a");
    for other in ["services/a.yaml", "policies/services/b.yaml", "policies/README"] {
        assert!(files.source_of(&place(other)).is_none(), "{other}");
    }
}
