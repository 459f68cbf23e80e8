//! `opgate schema`: JSON Schemas of all files that opgate reads, for editors and other tools.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::diagnostic::Report;
use crate::document::nearest;
use crate::schema::FileSchema;
use crate::terminal::{FAILED, INVALID, eprint, eprint_report, print};

/// Arguments of `opgate schema`.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// The kind of file: configuration, service, iam, role, allow, deny, boundary, hierarchy, groups, tags or tests; without
    /// it, the kinds are listed
    #[arg(value_name = "NAME", conflicts_with = "all")]
    name: Option<String>,
    /// Write the schemas of all kinds, each into a file `NAME.json`
    #[arg(long, requires = "to")]
    all: bool,
    /// Where to write them; made if it is missing
    #[arg(long, value_name = "DIR", requires = "all")]
    to: Option<PathBuf>,
}

/// Prints a schema, or writes all of them. Exits 1 where they cannot be written, and 3 where there is no such kind of file.
pub fn run(args: &SchemaArgs) -> ExitCode {
    match (&args.name, &args.to) {
        (Some(name), _) => print_one(name),
        (None, Some(directory)) => write_all(directory),
        (None, None) => {
            print(&list());
            ExitCode::SUCCESS
        }
    }
}

fn print_one(name: &str) -> ExitCode {
    if let Some(schema) = FileSchema::named(name) {
        print(&schema.to_text());
        return ExitCode::SUCCESS;
    }
    let names = || FileSchema::ALL.iter().map(|schema| schema.name);
    let help = match nearest(name, names()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("kinds are {}", names().collect::<Vec<_>>().join(", ")),
    };
    eprint(&format!("error: there is no kind of file `{name}`\n  = help: {help}\n"));
    ExitCode::from(INVALID)
}

fn write_all(directory: &std::path::Path) -> ExitCode {
    let mut report = Report::new();
    let mut text = String::new();
    for schema in FileSchema::ALL {
        let path = directory.join(schema.file_name());
        let written =
            std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, schema.to_text()));
        match written {
            Ok(()) => text.push_str(&format!("{}\n", path.display())),
            Err(error) => {
                report
                    .file_error(&path, format!("cannot be written: {error}"))
                    .help("choose another directory");
            }
        }
    }
    if report.is_fatal() {
        eprint_report(&report);
        return ExitCode::from(FAILED);
    }
    print(&text);
    ExitCode::SUCCESS
}

/// The kinds, and which files are of each.
fn list() -> String {
    let row =
        |schema: &FileSchema| format!("{:<14} {:<22} {}\n", schema.name, schema.files, schema.description);
    FileSchema::ALL.iter().map(row).collect()
}
