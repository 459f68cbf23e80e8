//! What the imports of descriptions share: read one, write the two files of a service, say what is left to do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::catalog::{Catalog, ExposureSettings};
use crate::diagnostic::Report;
use crate::document::{self, Node};
use crate::import::{ImportOptions, ImportedFiles, ImportedService, written};
use crate::source::PolicyFiles;
use crate::terminal::{FAILED, INVALID, counted, eprint_report, print};

/// Arguments of each import of a description.
#[derive(Debug, clap::Args)]
pub(super) struct DescriptionArgs {
    /// The description, YAML or JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to write the two files
    #[arg(long, value_name = "DIR", default_value = "policies/services")]
    out: PathBuf,
    /// The id of the service: the name of its files; by default the first label of the service's name
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The first part of every permission; by default the first label of the service's name
    #[arg(long, value_name = "PREFIX")]
    permission_prefix: Option<String>,
    /// The resource above those of paths that do not begin with a project, folder or organization; by default `projects/`
    /// and the first label of the service's name
    #[arg(long, value_name = "RESOURCE")]
    parent: Option<String>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// What understands a description.
type DescriptionReader = fn(&Node, &ImportOptions, &mut Report) -> Option<ImportedService>;

/// Imports. Exits 0 where both files are written and load, 1 where they cannot be written or do not load, and 3 where the
/// description cannot be used.
pub(super) fn run(
    args: &DescriptionArgs,
    service: Option<String>,
    any_scope: bool,
    read: DescriptionReader,
) -> ExitCode {
    let mut report = Report::new();
    let DescriptionArgs { permission_prefix, parent, .. } = args;
    let options = ImportOptions {
        service,
        permission_prefix: permission_prefix.clone(),
        parent: parent.clone(),
        any_scope,
    };
    args.check(&mut report);
    let node = document::read(&args.file, &mut report);
    let imported = node.and_then(|node| read(&node, &options, &mut report)).filter(|_| !report.is_fatal());
    let Some(imported) = imported else {
        eprint_report(&report);
        return ExitCode::from(INVALID);
    };
    let files = written(&imported, &args.file.display().to_string());
    let id = args.id.clone().unwrap_or_else(|| first_label(&imported.name).to_owned());
    let is_good = args.write(&id, &files, &mut report) && loads(&id, &files, &mut report);
    if !report.diagnostics().is_empty() {
        eprint_report(&report);
    }
    if !is_good {
        return ExitCode::from(FAILED);
    }
    print(&summary(args, &id, &imported));
    ExitCode::SUCCESS
}

fn first_label(name: &str) -> &str {
    name.trim_start_matches("*.").split('.').next().unwrap_or_default()
}

impl DescriptionArgs {
    /// What is wrong with the words that go into the files.
    fn check(&self, report: &mut Report) {
        let is_word = |text: &str, more: &[u8]| {
            text.starts_with(|first: char| first.is_ascii_lowercase())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if self.permission_prefix.as_deref().is_some_and(|text| !is_word(text, b"_-")) {
            report
                .file_error(&self.file, "`--permission-prefix` is not the first part of a permission")
                .help("write one word that begins with a small letter, like `library`");
        }
        let is_parent = |text: &str| {
            text.split('/').count().is_multiple_of(2) && text.split('/').all(|part| is_word(part, b"_-.:"))
        };
        if self.parent.as_deref().is_some_and(|text| !is_parent(text)) {
            report
                .file_error(&self.file, "`--parent` is not the name of a resource")
                .help("write `collection/id` pairs, like `projects/library`");
        }
        if self.id.as_deref().is_some_and(|text| !is_word(text, b"_-")) {
            report
                .file_error(&self.file, "`--id` is not the name of a service's files")
                .help("write one word that begins with a small letter, like `library`");
        }
    }

    fn paths(&self, id: &str) -> [PathBuf; 2] {
        [self.out.join(format!("{id}.yaml")), self.out.join(format!("{id}.iam.yaml"))]
    }

    /// Writes both files, or none where one is there already.
    fn write(&self, id: &str, files: &ImportedFiles, report: &mut Report) -> bool {
        let paths = self.paths(id);
        for path in paths.iter().filter(|path| path.exists() && !self.force) {
            report
                .file_error(path, "the file is there already")
                .help("choose another `--out` or `--id`, or replace it with `--force`");
        }
        if report.is_fatal() {
            return false;
        }
        let written =
            std::fs::create_dir_all(&self.out).map_err(|error| (self.out.as_path(), error)).and_then(|()| {
                paths.iter().zip([&files.service, &files.iam]).try_for_each(|(path, text)| {
                    std::fs::write(path, text).map_err(|error| (path.as_path(), error))
                })
            });
        if let Err((path, error)) = &written {
            report.file_error(path, format!("cannot be written: {error}"));
        }
        written.is_ok()
    }
}

/// Whether the gate loads what was written. What it says of it is in the report.
fn loads(id: &str, files: &ImportedFiles, report: &mut Report) -> bool {
    let named =
        [(format!("services/{id}.yaml"), &files.service), (format!("services/{id}.iam.yaml"), &files.iam)];
    let tree = PolicyFiles::in_memory("", named.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let exposures = ExposureSettings::all(&tree, report);
    let mut found = Report::new();
    let is_loaded = Catalog::load(&tree, &exposures, &mut found).is_some();
    if !is_loaded {
        report.absorb(found);
    }
    is_loaded
}

/// What was written, and the lines of the configuration that belong to it.
fn summary(args: &DescriptionArgs, id: &str, service: &ImportedService) -> String {
    let [service_file, iam_file] = args.paths(id);
    let open = service.methods.iter().filter(|method| method.questions.is_empty()).count();
    let left = match service.methods.len() - open {
        0 => String::new(),
        left => format!(", and {left} left to you, as comments in {}", iam_file.display()),
    };
    let mut text = format!(
        "{} and {} expose {} of {}{left}.\n\nIn the configuration:\n\nservices:\n  {id}: {{upstream: UPSTREAM}}\n",
        service_file.display(),
        shown(&iam_file),
        counted(open, "method"),
        service.name,
    );
    if !service.providers.is_empty() {
        text.push_str("issuers:\n");
    }
    for provider in &service.providers {
        let audiences = match provider.audiences.as_slice() {
            [] => format!("'https://{}'", service.name),
            listed => listed.iter().map(|audience| format!("'{audience}'")).collect::<Vec<_>>().join(", "),
        };
        let keys = match &provider.jwks_uri {
            Some(url) => format!("{{url: '{url}'}}"),
            None => "{discovery: openid}".to_owned(),
        };
        let issuer = &provider.issuer;
        // A service account signs for itself, and its key URL is Google's.
        let line = if issuer.contains('@') {
            let url = "https://www.googleapis.com/service_accounts/v1/jwk/{email}";
            format!("{{service_accounts: ['{issuer}'], keys: {{url: '{url}'}}}}")
        } else {
            format!("{{issuer: '{issuer}', audiences: [{audiences}], keys: {keys}}}")
        };
        text.push_str(&format!("  {}: {line}\n", provider.id));
    }
    text
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::Source;
    use crate::import::openapi;

    /// What the gate says of the files that a description becomes; empty where it loads them.
    fn complaint(text: &str) -> String {
        let mut report = Report::new();
        let node = document::parse(&Source::new("api.yaml", text), &mut report).unwrap();
        let options =
            ImportOptions { service: Some("lab.example.com".to_owned()), ..ImportOptions::default() };
        let service = openapi::import(&node, &options, &mut report).unwrap();
        let files = written(&service, "api.yaml");
        let mut found = Report::new();
        let is_loaded = loads("lab", &files, &mut found);
        if is_loaded {
            String::new()
        } else {
            format!("{}\n{}\n{}", files.service, files.iam, found.render(false))
        }
    }

    #[test]
    fn what_frameworks_write_loads() {
        for paths in [
            "{/jobs/: {get: {}, post: {requestBody: {content: {application/json: {}}}}}, '/jobs/{pk}/': {get: {}, head: {}}}",
            "{/: {get: {}}, '/{id}': {get: {}}, '/{id}/{other}': {delete: {}}}",
            "{/Jobs: {get: {}}, /jobs: {get: {}}, /job-s: {get: {}}, /jobs/: {get: {}}}",
            "{'/files/{name}': {get: {}}, '/files/{name}.{format}': {get: {}}, '/files/{path*}': {get: {}}}",
            "{'/a/{x}': {$ref: 'x.yaml'}, '/a/b': {get: {}}, '/a/{y}/c': {get: {}}}",
            "{/x: {options: {}, patch: {requestBody: {content: {text/plain: {}}}}}}",
        ] {
            assert_eq!(complaint(&format!("{{openapi: 3.0.0, paths: {paths}}}")), "", "{paths}");
        }
    }

    fn path() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec![
            "jobs",
            "Jobs",
            "job-s",
            "v1",
            "projects",
            "{id}",
            "{ID}",
            "{job-id}",
            "{name}.json",
            "{x:[0-9]+}",
            "{+rest}",
            "{name=projects/*}",
            "{path=**}",
            "a b",
            "run:now",
            "{id}:cancel",
            "",
        ]);
        prop::collection::vec(segment, 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    fn operation() -> impl Strategy<Value = String> {
        let method =
            prop::sample::select(vec!["get", "put", "post", "delete", "options", "head", "patch", "trace"]);
        let security = prop::sample::select(vec![
            "",
            "security: []",
            "security: [{a: [s]}]",
            "security: [{a: [s, t]}]",
            "security: [{p: []}]",
            "security: [{key: []}]",
            "security: [{p: [s]}, {a: []}]",
            "security: [{}]",
            "security: [{none: []}]",
        ]);
        let body = prop::sample::select(vec![
            "",
            "requestBody: {content: {application/json: {}}}",
            "requestBody: {content: {text/csv: {}}}",
            "requestBody: {$ref: 'x.yaml'}",
        ]);
        (method, security, body).prop_map(|(method, security, body)| {
            let fields: Vec<&str> = [security, body].into_iter().filter(|field| !field.is_empty()).collect();
            format!("{method}: {{{}}}", fields.join(", "))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn whatever_is_imported_loads(
            paths in prop::collection::btree_map(path(), prop::collection::vec(operation(), 1..4), 1..6),
            global in prop::sample::select(vec!["", "security: [{a: [s]}],", "security: [],"]),
        ) {
            let items = paths.iter().map(|(path, operations)| {
                let mut operations = operations.clone();
                let method = |operation: &String| operation.split(':').next().unwrap_or_default().to_owned();
                operations.sort_by_key(method);
                operations.dedup_by_key(|operation| method(operation));
                format!("'{path}': {{{}}}", operations.join(", "))
            });
            let text = format!(
                "{{openapi: 3.0.0, {global} components: {{securitySchemes: {{a: {{type: oauth2}}, key: {{type: apiKey}}, \
                 p: {{type: oauth2, x-google-issuer: 'https://p.example.com'}}}}}}, paths: {{{}}}}}",
                items.collect::<Vec<_>>().join(", ")
            );
            prop_assert_eq!(complaint(&text), "", "{}", text);
        }
    }
}
