//! `opgate run`: the gate, from files to open listeners and to the last answered request.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use pingora::apps::{HttpServerApp, HttpServerOptions};
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::ConfigArgs;
use crate::admin::Admin;
use crate::assertion::Assertions;
use crate::audit::Audit;
use crate::authn::Authenticator;
use crate::clock;
use crate::config::{Config, ListenerTls, Origin};
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::engine::{Engine, Live};
use crate::frontend::Http;
use crate::handover::{self, Predecessor};
use crate::listener::{ConnectionLimits, Listener};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::reload::{Reloader, Started};
use crate::server::announcement::Announcement;
use crate::server::signals::Signals;
use crate::server::sockets::Sockets;
use crate::signing::SigningError;
use crate::telemetry::Log;
use crate::terminal::{FAILED, INVALID, eprint, eprint_report};
use crate::tls::{self, ServerTls};
use crate::upstream::Upstreams;
use crate::upstream::names::Lookups;

/// How long a start waits for the names of upstreams to be looked up.
const LOOKUP_AT_START: Duration = Duration::from_secs(1);

/// How long the end of the process waits for threads that no longer serve.
const END: Duration = Duration::from_millis(200);

/// Arguments of `opgate run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write the bound addresses here, as JSON, once requests are served: for port 0
    #[arg(long, value_name = "FILE")]
    addresses_file: Option<PathBuf>,
    /// Take the listeners over from the running process, which SIGQUIT asks to hand them over; it drains once this one
    /// serves. Needs `upgrade.socket`
    #[arg(long)]
    upgrade: bool,
    /// Write the process's id here while it serves
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT, or until another process serves in its place.
pub fn run(args: &Args) -> ExitCode {
    tls::choose_cryptography();
    let origin = args.config.origin();
    let Some(loaded) = load(&origin) else {
        return ExitCode::from(INVALID);
    };
    let config = &loaded.config;
    if args.upgrade && config.upgrade.is_none() {
        eprint(
            "opgate: `--upgrade` needs `upgrade.socket` in the configuration: the same as the running process has\n",
        );
        return ExitCode::from(INVALID);
    }
    let log = Log::start(&config.telemetry);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .thread_name("opgate")
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => {
            let served = runtime.block_on(start(args, origin, loaded, log));
            runtime.shutdown_timeout(END);
            served
        }
        Err(error) => Err(error.into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint(&format!("opgate: {error}\n"));
            ExitCode::from(FAILED)
        }
    }
}

/// What a process starts with.
struct Loaded {
    config: Config,
    snapshot: Snapshot,
    /// When the files were read.
    read_at: SystemTime,
}

/// Everything that the configuration names, or nothing and every mistake on standard error.
fn load(origin: &Origin) -> Option<Loaded> {
    let read_at = clock::now();
    let mut report = Report::new();
    let config = origin.load(&mut report);
    let snapshot = config.as_ref().and_then(|config| Snapshot::load(config, clock::now(), &mut report));
    if !report.diagnostics().is_empty() {
        eprint_report(&report);
    }
    let loaded = Loaded { config: config?, snapshot: snapshot?, read_at };
    (!report.is_fatal()).then_some(loaded)
}

/// Why the gate could not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot open the audit log ({output}): {source}")]
    Audit { output: String, source: std::io::Error },
    #[error("cannot write {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the metrics are inconsistent: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("upstream `{name}`: {why}")]
    Upstream { name: String, why: String },
    #[error("no key can be made to sign assertions with: {0}")]
    Assertion(#[from] SigningError),
    #[error("{0}")]
    Handover(#[from] handover::HandoverError),
    #[error(
        "the configuration was changed while this process waited for the running one, and is not valid any more"
    )]
    Changed,
    #[error("not ready in time: {0}")]
    Unready(String),
    #[error("{what} broke off: {why}")]
    Broken { what: &'static str, why: String },
    #[error("stopped before it was ready")]
    Stopped,
}

/// Waits for the running process where this one is to take over from it, then serves.
async fn start(args: &Args, origin: Origin, loaded: Loaded, log: Log) -> Result<(), Failure> {
    let Some(upgrade) = loaded.config.upgrade.as_ref().filter(|_| args.upgrade) else {
        return serve(args, origin, loaded, log, &mut None).await;
    };
    tracing::info!(socket = %upgrade.socket.display(), "waiting for the running process to offer its listeners");
    let mut predecessor = Some(Predecessor::find(upgrade).await?);
    // Waiting may have taken a while: the files may have changed meanwhile, so they are read again.
    let served = match load(&origin) {
        Some(loaded) => serve(args, origin, loaded, log, &mut predecessor).await,
        None => Err(Failure::Changed),
    };
    if let (Err(error), Some(predecessor)) = (&served, predecessor) {
        predecessor.give_up(&error.to_string()).await;
    }
    served
}

/// Serves until the process is to end, then drains. `predecessor` is left in place if this ends before that one has let
/// go.
async fn serve(
    args: &Args,
    origin: Origin,
    loaded: Loaded,
    log: Log,
    predecessor: &mut Option<Predecessor>,
) -> Result<(), Failure> {
    let Loaded { config, snapshot, read_at } = loaded;
    let written = config.limits;
    let config = Config {
        limits: crate::server::open_files::within_open_files(written, config.admin.files()),
        ..config
    };
    let metrics = Arc::new(Metrics::new()?);
    let audit = Audit::open(&config.audit, metrics.audit_dropped.clone())
        .map_err(|source| Failure::Audit { output: config.audit.to_string(), source })?;
    let mut lookups = Lookups::default();
    lookups.look_up(&config.upstreams);
    // A name that is not found by then is looked up again while the gate serves.
    lookups.all_found(LOOKUP_AT_START).await;
    let upstreams = Upstreams::new(&config.upstreams, lookups.names(), None);
    if let Some((name, why)) = upstreams.faults().first() {
        return Err(Failure::Upstream { name: (*name).to_owned(), why: (*why).to_owned() });
    }
    metrics.policy_loaded(&snapshot, clock::now());
    let authn = snapshot.authn.clone();
    // Before any wait: a gate that waits for its issuer can be stopped.
    let mut signals = Signals::listen()?;
    let assertions = config.assertion.as_ref().map(|settings| Assertions::new(settings, None)).transpose()?;
    let live = Live::new(snapshot, Arc::new(upstreams), assertions, &metrics);
    let engine = Engine::new(live, config.limits, config.trusted_proxies.clone(), audit, metrics);

    let (shut_down, shutdown) = watch::channel(false);
    // Sockets first: a port in use is reported before the process waits for keys.
    let sockets = Sockets::open(&config, predecessor.as_mut()).await?;
    let tls: Vec<_> = config.listeners.iter().map(ListenerTls::swappable).collect();
    let as_written = Config { limits: written, ..config.clone() };
    let started = Started { origin, config: as_written, read_at, tls: tls.clone(), lookups, log: log.filter };
    let reloader = Reloader::new(started, engine.clone());
    let admin = Admin::new(engine.clone(), reloader.status());
    let serve_admin = || {
        let (own, explain) = (sockets.admin.clone(), sockets.explain.clone());
        tokio::spawn(admin.clone().serve(config.admin.clone(), own, explain, shutdown.clone()))
    };
    let mut admin_task = match predecessor {
        None => serve_admin(),
        // The running process serves, and answers on the admin port, until this one is ready to.
        Some(predecessor) => {
            tokio::select! {
                ready = ready_to_take_over(&admin, &authn, predecessor.deadline()) => ready?,
                () = signals.stop.received() => return Err(Failure::Stopped),
            }
            serve_admin()
        }
    };
    let mut reload_task = tokio::spawn(reloader.run(shutdown.clone()));

    let app = Arc::new(pingora_proxy(Proxy::new(engine.clone()), &config));
    let mut listeners = listen(&config, &sockets, tls, &app, &engine, &shutdown);
    crate::server::open_files::tell(written, config.limits);
    let announcement = Announcement::of(&sockets, args.pid_file.clone(), args.addresses_file.clone());
    let served = match predecessor.take() {
        Some(predecessor) => predecessor.relieve().await.map(Some).map_err(Failure::from),
        None => Ok(None),
    };
    let took_over = matches!(served, Ok(Some(_)));
    // The old process must not block on the pid file: it no longer serves, and this one is the only one that does.
    let or_serve_on = |told: Result<(), Failure>| match told {
        Err(error) if took_over => {
            tracing::error!(%error, "serving on");
            Ok(())
        }
        told => told,
    };
    // The old process ends after this. A supervisor that watches it looks for the new one then, so the pid file comes
    // first.
    let served = served.and_then(|relieved| {
        let told = announcement.pid();
        drop(relieved);
        or_serve_on(told)
    });
    let announced = async {
        or_serve_on(announcement.addresses(&admin).await)?;
        std::future::pending().await
    };
    let sockets = sockets.into_purposes();
    let served = match served {
        Ok(()) => tokio::select! {
            () = signals.until_end(config.upgrade.as_ref(), &sockets) => Ok(()),
            failed = announced => failed,
            failed = broken("the admin port", &mut admin_task) => Err(failed),
            failed = broken("the reloads", &mut reload_task) => Err(failed),
        },
        // Where there is a running process, it goes on: the end of this one loses nothing.
        failed => failed,
    };
    // The listeners close their sockets once they have accepted the clients that wait.
    drop(sockets);
    tracing::info!("draining");
    // Nobody is left to hear it if all receivers are gone.
    engine.drain();
    let _ = shut_down.send(true);
    while listeners.join_next().await.is_some() {}
    // Not before: Pingora would drop requests that it has not begun to parse.
    app.http_cleanup().await;
    reload_task.abort();
    admin_task.abort();
    // Threads may hold the engine a little longer than this, and nothing waits for them.
    engine.flush();
    announcement.withdraw();
    served
}

/// Waits until one of the tasks that must not end has failed.
async fn broken(what: &'static str, task: &mut JoinHandle<std::io::Result<()>>) -> Failure {
    match task.await {
        // The admin port ends where another process serves it.
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => Failure::Broken { what, why: error.to_string() },
        Err(error) => Failure::Broken { what, why: error.to_string() },
    }
}

/// Accepts clients, on each listener.
fn listen(
    config: &Config,
    sockets: &Sockets,
    tls: Vec<Option<Arc<ArcSwap<ServerTls>>>>,
    app: &Arc<HttpProxy<Proxy>>,
    engine: &Engine,
    shutdown: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let connections = ConnectionLimits::new(&config.limits);
    let mut listeners = JoinSet::new();
    for ((settings, tls), socket) in config.listeners.iter().zip(tls).zip(&sockets.listeners) {
        let address = socket.bound();
        tracing::info!(%address, "listening");
        let http = Http::new(address, settings.http2, engine.clone(), app.clone());
        let metrics = engine.metrics().clone();
        let listener = Listener::new(address, tls, config.limits, connections.clone(), metrics, http);
        listeners.spawn(listener.serve(socket.clone(), shutdown.clone()));
    }
    tracing::info!(address = %sockets.admin.bound(), "admin listening");
    if let Some(explain) = &sockets.explain {
        tracing::info!(address = %explain.bound(), "explain listening");
    }
    listeners
}

/// Loads keys until the gate can serve in another one's place.
async fn ready_to_take_over(admin: &Admin, authn: &Authenticator, deadline: Instant) -> Result<(), Failure> {
    let ready = async {
        authn.load_keys().await;
        wait_until_ready(admin).await;
    };
    let in_time = tokio::time::timeout_at(deadline.into(), ready).await;
    in_time.map_err(|_| Failure::Unready(admin.unready().join("; ")))
}

/// Pingora's side of the proxy. One retry at most: the second attempt of `fail_to_connect`.
fn pingora_proxy(proxy: Proxy, config: &Config) -> HttpProxy<Proxy> {
    let conf = ServerConf { max_retries: 2, ..ServerConf::default() };
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    // CONNECT is let through to the gate, which refuses, counts and audits it like every other request. It is never
    // proxied.
    options.allow_connect_method_proxying = true;
    let mut app = HttpProxy::new(proxy, Arc::new(conf));
    app.server_options = Some(options);
    let mut http2 = default_h2_options();
    // The library counts 32 bytes for each field, and pseudo-headers as fields (RFC 9113, section 6.5.2). The gate's
    // own limit is lower and the same for both versions.
    let head = config.limits.head;
    let list = head.bytes.saturating_add(head.fields.saturating_add(5).saturating_mul(64));
    http2.max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX));
    // Memory that one connection may hold, and streams that a client may reset, before the connection is ended.
    http2.max_concurrent_streams(u32::try_from(config.limits.http2_streams).unwrap_or(u32::MAX));
    http2.max_send_buffer_size(64 * 1024);
    http2.max_concurrent_reset_streams(20);
    http2.max_pending_accept_reset_streams(20);
    http2.max_local_error_reset_streams(Some(1000));
    app.h2_options = Some(http2);
    app.handle_init_modules();
    app
}

pub(crate) async fn wait_until_ready(admin: &Admin) {
    while !admin.unready().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
