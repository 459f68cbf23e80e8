//! `opgate explain --request-id ID`, asked of a running gate: it remembers its last decisions, and explains one of them
//! by the policy in force.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{StatusCode, Url, header};
use serde_json::Value;

use crate::admin::AdminSettings;
use crate::cli::admin_address::reachable;
use crate::cli::args::Output;
use crate::cli::problem::Problem;
use crate::config::Config;
use crate::terminal::{DENIED, FAILED, eprint, print};
use crate::tls;

/// Longer than the gate takes for an explanation.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A token is one line of printable ASCII. Bytes.
const LONGEST_TOKEN: u64 = 4096;

/// Where a gate is asked, and with which token.
pub(super) struct AskedGate {
    url: Url,
    token_file: Option<PathBuf>,
}

/// Why there is no answer.
enum Failure {
    /// The question cannot be asked so, or has no answer.
    Problem(Problem),
    /// The gate cannot be asked.
    Unreachable(String),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl AskedGate {
    /// The gate that the arguments name: by its URL, by its configuration, or the one of this machine.
    pub(super) fn new(
        admin: Option<&str>,
        token_file: Option<&Path>,
        config: Option<&Config>,
    ) -> Result<Self, Problem> {
        let configured = config.map(|config| &config.admin);
        let told = configured.and_then(|admin| admin.explain.as_ref());
        let url = match (admin, configured) {
            (Some(url), _) => url.to_owned(),
            (None, Some(settings)) => address(settings)?.to_string(),
            (None, None) => AdminSettings::default().address.to_string(),
        };
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let help = "write it like `http://127.0.0.1:9901`";
        let url = Url::parse(&url).map_err(|error| {
            Problem::new(format!("`{url}` is not a URL of an admin address: {error}"), help)
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Problem::new(format!("`{url}` is not a URL of an admin address"), help));
        }
        // The token of a configuration is shown to its gate alone.
        let of_config = || told.filter(|_| admin.is_none()).and_then(|explain| explain.token_file.clone());
        Ok(Self { url, token_file: token_file.map(Path::to_owned).or_else(of_config) })
    }

    /// Asks and prints. Exits 0 where the decision let the call pass, 2 where it did not, 3 where the gate does not
    /// have it, and 1 where it cannot be asked.
    pub(super) fn run(&self, id: &str, is_all: bool, output: Output) -> ExitCode {
        match self.ask(id, is_all) {
            Ok(answer) => told(answer, output),
            Err(Failure::Problem(problem)) => problem.print(output),
            Err(Failure::Unreachable(why)) => {
                eprint(&format!(
                    "opgate: cannot ask the gate at {}: {why}\n  = help: name its admin address with `--admin URL`, \
                     or its configuration with `--config FILE`; an audit log is read with `--audit FILE`\n",
                    self.url
                ));
                ExitCode::from(FAILED)
            }
        }
    }

    fn ask(&self, id: &str, is_all: bool) -> Result<Value, Failure> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["decisions", id]);
        }
        url.set_query(is_all.then_some("all=true"));
        let token = self.token_file.as_deref().map(token).transpose()?;
        tls::choose_cryptography();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let (status, body) =
            runtime.block_on(fetched(url, token)).map_err(|error| Failure::Unreachable(reason(&error)))?;
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        match answer {
            Some(answer) if status.is_success() && answer.get("recorded").is_some() => Ok(answer),
            answer => Err(refusal(status, answer.as_ref())),
        }
    }
}

/// The address where a gate of this configuration tells about its policy.
fn address(settings: &AdminSettings) -> Result<SocketAddr, Problem> {
    let own = settings.explain.as_ref().and_then(|explain| explain.address);
    reachable(own.unwrap_or(settings.address), "name the admin address with `--admin URL`")
}

fn token(path: &Path) -> Result<String, Problem> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text));
    let help = "name the file that `admin.explain.token_file` of the gate's configuration names";
    match read {
        Ok(_) if !text.trim_end().is_empty() => Ok(text.trim_end().to_owned()),
        Ok(_) => Err(Problem::new(format!("{} is empty", path.display()), help)),
        Err(error) => Err(Problem::new(format!("cannot read {}: {error}", path.display()), help)),
    }
}

async fn fetched(url: Url, token: Option<String>) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        // The token goes to the gate, and to no proxy.
        .no_proxy()
        .build()?;
    let mut request = client.get(url).header(header::ACCEPT, "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    let status = answer.status();
    Ok((status, answer.bytes().await?.to_vec()))
}

/// The innermost cause: the outer ones repeat the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn refusal(status: StatusCode, answer: Option<&Value>) -> Failure {
    let said = |field: &str| answer?.pointer(&format!("/error/{field}"))?.as_str();
    match (status, said("message"), said("help")) {
        (StatusCode::UNAUTHORIZED, Some(message), _) => Failure::Problem(Problem::new(
            format!("the gate says: {message}"),
            "name the file that holds it with `--token-file FILE`",
        )),
        (_, Some(message), Some(help)) => {
            Failure::Problem(Problem::new(format!("the gate says: {message}"), help))
        }
        _ => Failure::Unreachable(format!("it answered {status}, and not as a gate does")),
    }
}

fn told(mut answer: Value, output: Output) -> ExitCode {
    let was_allowed =
        answer.pointer("/recorded/decision").and_then(Value::as_str).is_some_and(|told| told != "DENIED");
    let text = answer.as_object_mut().and_then(|fields| fields.shift_remove("text"));
    match output {
        Output::Text => print(text.as_ref().and_then(Value::as_str).unwrap_or_default()),
        Output::Json => print(&format!("{answer:#}\n")),
    }
    if was_allowed { ExitCode::SUCCESS } else { ExitCode::from(DENIED) }
}
