//! `opgate explain`: why a call is allowed or denied, and what would turn the answer.

mod gate;
mod recorded;

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::args::Output;
use super::problem::Problem;
use super::tree::{TreeArgs, refuse};
use crate::clock;
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::explain::explain;
use crate::policy::explain::Extent;
use crate::principal::Principal;
use crate::simulation::written;
use crate::simulation::{Scenario, ScenarioCall, ScenarioCaller, ScenarioToken};
use crate::terminal::{DENIED, FAILED, eprint, print};

/// Arguments of `opgate explain`.
#[derive(Debug, clap::Args)]
// A gate that is asked for a decision has its own tree.
#[command(mut_group("tree", |group| group.required(false)))]
pub struct ExplainArgs {
    #[command(flatten)]
    tree: TreeArgs,

    /// Who calls, like `user:ana@example.com`; an anonymous caller without it
    #[arg(long, value_name = "PRINCIPAL", value_parser = written::principal, conflicts_with_all = ["claims", "token"])]
    principal: Option<Principal>,
    /// A group or `principalSet://` that their credential would assert; can be repeated
    #[arg(long = "group", value_name = "GROUP", value_parser = written::set, requires = "principal")]
    groups: Vec<Arc<str>>,
    /// A JSON file with the claims that an issuer would sign for them
    #[arg(long, value_name = "FILE", requires = "config", conflicts_with = "token")]
    claims: Option<PathBuf>,
    /// A file with their token, which is verified; `-` reads standard input
    #[arg(long, value_name = "FILE", requires = "config")]
    token: Option<PathBuf>,
    /// A scope of their token; can be repeated. Without one, they have those that the method asks for
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with = "token")]
    scopes: Vec<String>,

    /// The HTTP method of a request, with its TARGET
    #[arg(value_name = "HTTP_METHOD", requires_all = ["target", "tree"],
        required_unless_present_any = ["method", "grpc", "request_id"])]
    http_method: Option<String>,
    /// What is requested: a path like `/v1/projects/…:cancel`, or a whole URL
    target: Option<String>,
    /// What is called, by the full name of its RPC, instead of a request
    #[arg(long, value_name = "RPC", requires_all = ["resource", "tree"], conflicts_with = "http_method")]
    method: Option<String>,
    /// What it is called on: `projects/…`, or as denials print it, `//SERVICE/projects/…`
    #[arg(long, value_name = "NAME", requires = "method")]
    resource: Option<String>,
    /// What is called over gRPC, `package.Service/Method`, instead of a request
    #[arg(long, value_name = "RPC", requires_all = ["message", "tree"], conflicts_with_all = ["http_method", "method"])]
    grpc: Option<String>,
    /// The request message of `--grpc`, in the JSON of protobuf
    #[arg(long, value_name = "JSON", requires = "grpc", value_parser = message)]
    message: Option<Value>,
    /// The host that is asked, where several have the path or the method
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// When, like `2026-03-01T12:00:00Z`; now by default
    #[arg(long, value_name = "TIME", value_parser = written::time)]
    time: Option<SystemTime>,
    /// The address that the call comes from
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,

    /// A request that was decided, instead of a question: the `x-request-id` of its answer. A running gate is asked for
    /// it, or an audit log is searched
    #[arg(long, visible_alias = "id", value_name = "ID", conflicts_with_all =
        ["principal", "claims", "token", "scopes", "http_method", "method", "grpc", "host", "time", "ip"])]
    request_id: Option<String>,
    /// The audit log that has the request; `-` is standard input. Without one, a running gate is asked
    #[arg(long, value_name = "FILE", requires_all = ["request_id", "tree"])]
    audit: Option<PathBuf>,
    /// The admin address of the gate, like `http://127.0.0.1:9901`; by default that of `--config`, else this one
    #[arg(long, value_name = "URL", requires = "request_id", conflicts_with = "audit")]
    admin: Option<String>,
    /// A file with the token that the gate asks for (`admin.explain.token_file`)
    #[arg(long, value_name = "FILE", requires = "request_id", conflicts_with = "audit")]
    token_file: Option<PathBuf>,

    /// Show every rule on the chain, not only those that affect the answer
    #[arg(long)]
    all: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Explains and prints. Exits 0 where the call is allowed, 2 where it is denied, 3 where the question is invalid.
pub fn run(args: &ExplainArgs) -> ExitCode {
    match (&args.request_id, &args.audit) {
        (Some(id), Some(file)) => return recorded::run(&args.tree, file, id, extent(args.all), args.output),
        (Some(id), None) => return args.ask_gate(id),
        (None, _) => {}
    }
    let mut question = match args.question() {
        Ok(question) => question,
        Err(problem) => return problem.print(args.output),
    };
    let mut report = Report::new();
    let snapshot = args.load(&question, &mut report).filter(|_| !report.is_fatal());
    let Some(snapshot) = snapshot else { return refuse(&report, args.output) };
    if args.token.is_some()
        && let Err(error) = ask_issuers(&mut question, &snapshot)
    {
        eprint(&format!("opgate: cannot ask the issuers: {error}\n"));
        return ExitCode::from(FAILED);
    }
    match explain(question, &snapshot, extent(args.all)) {
        Ok(explained) => {
            match args.output {
                Output::Text => print(&explained.text()),
                Output::Json => print(&format!("{:#}\n", explained.json())),
            }
            if explained.is_allowed() { ExitCode::SUCCESS } else { ExitCode::from(DENIED) }
        }
        Err(mistake) => Problem::from(mistake).print(args.output),
    }
}

fn extent(all: bool) -> Extent {
    if all { Extent::All } else { Extent::Relevant }
}

impl ExplainArgs {
    /// Asks the gate for a decision.
    fn ask_gate(&self, id: &str) -> ExitCode {
        if self.tree.names_policies() {
            let help = "leave `--policies` out, or name the log with `--audit FILE`";
            let problem = Problem::new("a running gate explains its decisions by its own policy", help);
            return problem.print(self.output);
        }
        let mut report = Report::new();
        // A URL says where, whatever a configuration says.
        let config = if self.admin.is_some() { Some(None) } else { self.tree.config(&mut report) };
        let Some(config) = config.filter(|_| !report.is_fatal()) else { return refuse(&report, self.output) };
        let gate = gate::AskedGate::new(self.admin.as_deref(), self.token_file.as_deref(), config.as_ref());
        match gate {
            Ok(gate) => gate.run(id, self.all, self.output),
            Err(problem) => problem.print(self.output),
        }
    }

    fn question(&self) -> Result<Scenario, Problem> {
        Ok(Scenario {
            who: self.who()?,
            scopes: (!self.scopes.is_empty()).then(|| self.scopes.clone()),
            what: self.what()?,
            time: self.time.unwrap_or_else(clock::now),
            origin: self.ip,
        })
    }

    fn who(&self) -> Result<ScenarioCaller, Problem> {
        if let Some(path) = &self.token {
            return Ok(ScenarioCaller::Token(ScenarioToken::new(&read(path)?)));
        }
        if let Some(path) = &self.claims {
            return Ok(ScenarioCaller::Claims(claims(path)?));
        }
        Ok(match &self.principal {
            Some(principal) => {
                ScenarioCaller::Principal { principal: principal.clone(), sets: self.groups.clone() }
            }
            None => ScenarioCaller::Anonymous,
        })
    }

    fn what(&self) -> Result<ScenarioCall, Problem> {
        let host = self.host.as_deref();
        if let (Some(rpc), Some(message)) = (&self.grpc, &self.message) {
            let host = host.map(str::to_ascii_lowercase);
            return Ok(ScenarioCall::Rpc { rpc: rpc.clone(), message: message.clone(), host });
        }
        match (&self.http_method, &self.target, &self.method, &self.resource) {
            (Some(method), Some(target), ..) => Ok(written::request(method, target, host)?),
            (_, _, Some(method), Some(resource)) => Ok(ScenarioCall::Method {
                method: method.clone(),
                resource: resource.clone(),
                host: host.map(str::to_ascii_lowercase),
            }),
            _ => Err(Problem::new(
                "the question does not say what is called",
                "write `POST /v1/…`, or `--method RPC --resource NAME`, or `--grpc RPC --message JSON`",
            )),
        }
    }

    /// The tree, with issuers where they are needed.
    fn load(&self, question: &Scenario, report: &mut Report) -> Option<Snapshot> {
        match question.who {
            ScenarioCaller::Claims(_) | ScenarioCaller::Token(_) => {
                self.tree.load_with_issuers(clock::now(), report)
            }
            ScenarioCaller::Principal { .. } | ScenarioCaller::Anonymous => self.tree.load(report),
        }
    }
}

fn message(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}"))
}

/// A file's text; `-` is standard input. Bounded by the longest token or claims.
fn read(path: &Path) -> Result<String, Problem> {
    const MOST: u64 = 64 * 1024;
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MOST).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Problem::new(
            format!("cannot read {}: {error}", path.display()),
            "name a file of at most 64 KiB, or `-` for standard input",
        )),
    }
}

fn claims(path: &Path) -> Result<Map<String, Value>, Problem> {
    let help = "write a JSON object, as the payload of a token: `{\"iss\": …, \"email\": …}`";
    match serde_json::from_str(&read(path)?) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => Err(Problem::new(format!("{} is not a JSON object", path.display()), help)),
        Err(error) => Err(Problem::new(format!("{} is not JSON: {error}", path.display()), help)),
    }
}

/// Fetches the keys that are behind a URL, and asks the issuer of an opaque token. What cannot be fetched shows in the
/// answer.
fn ask_issuers(question: &mut Scenario, snapshot: &Snapshot) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        snapshot.authn.load_keys().await;
        question.look_up(&snapshot.authn).await;
    });
    Ok(())
}
