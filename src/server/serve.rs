//! Serving, step by step: sockets, readiness, listeners, the end of the running process, and the drain.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::announcement::Announcement;
use super::loaded::Loaded;
use super::open_files;
use super::options::Options;
use super::parts::{Parts, known_to_the_next};
use super::ready::wait_until_ready;
use super::signals::{EndCause, Signals, Stop};
use super::sockets::Sockets;
use super::start_error::StartError;
use crate::admin::{Admin, ReloadChange, ReloadReport, ReloadReporter};
use crate::authn::Authenticator;
use crate::config::{Config, ConfigSource};
use crate::engine::Engine;
use crate::frontend::Http;
use crate::handover::Predecessor;
use crate::listener::{ConnectionLimits, ListenSocket, Listener, ListenerLimits};
use crate::reload::{ReloadStatus, Reloader, Started};
use crate::service_manager;
use crate::telemetry::LogFilter;
use crate::tls::ServerTls;

/// What a reload swaps for each listener that speaks TLS.
type Swappable = Vec<Option<Arc<ArcSwap<ServerTls>>>>;

/// Serves until the process is to end, then drains. `predecessor` is left there if this ends before that one lets go.
pub(super) async fn serve(
    options: &Options,
    origin: ConfigSource,
    loaded: Loaded,
    log: LogFilter,
    predecessor: &mut Option<Predecessor>,
) -> Result<(), StartError> {
    let mut parts = Parts::assemble(loaded, predecessor.as_ref()).await?;
    // Before any wait: a gate that waits for its issuer can be stopped.
    let mut signals = Signals::listen()?;
    let (shut_down, shutdown) = watch::channel(false);
    // Sockets first: a port in use is reported before the process waits for keys.
    let sockets = Sockets::open(&parts.config, predecessor.as_mut()).await?;
    let tls: Swappable =
        parts.config.listeners.iter().map(|listener| Some(listener.tls.as_ref()?.swappable())).collect();
    let names = parts.lookups.told();
    let reloader = parts.reloader(origin, tls.clone(), log.clone());
    let admin = Admin::new(
        parts.engine.clone(),
        parts.metrics.clone(),
        reports_of(reloader.status()),
        parts.of_admin.clone(),
        parts.recent.clone(),
        log,
    );
    if let Some(predecessor) = predecessor {
        // The running process serves, and answers on the admin port, until this one is ready to.
        tokio::select! {
            ready = ready_to_take_over(&admin, &parts.authn, predecessor.deadline()) => ready?,
            () = signals.stop.received() => return Err(StartError::Stopped),
        }
    }
    let mut tasks = Tasks {
        admin: tokio::spawn(admin.clone().serve(
            parts.config.admin.clone(),
            sockets.admin.clone(),
            sockets.explain.clone(),
            shutdown.clone(),
        )),
        reload: tokio::spawn(reloader.run(shutdown.clone())),
    };
    let listeners = listen(&parts, &sockets, tls, &shutdown);
    say_started(&parts, &sockets, &admin);
    open_files::tell(parts.written, parts.config.limits);
    let announcement = Announcement::of(&sockets, options.pid_file.clone(), options.addresses_file.clone());
    let served = take_over(predecessor.take(), &announcement).await;
    if served.is_ok() {
        sockets.own();
    }
    if served.as_ref().is_ok_and(|took_over| !took_over) {
        service_manager::serves(&admin.unready());
    }
    let sockets = sockets.into_purposes();
    let served = match served {
        Ok(took_over) => {
            let announced = announce(&announcement, &admin, &parts.engine, took_over);
            tokio::select! {
                end = signals.until_end(parts.config.upgrade.as_ref(), &sockets, || known_to_the_next(&names)) => {
                    if end == EndCause::Stopped {
                        let ListenerLimits { drain_delay, grace_period, .. } = parts.config.limits.listener;
                        service_manager::stops(drain_delay.saturating_add(grace_period));
                        leave(&parts, &admin).await?;
                    }
                    Ok(())
                }
                failed = announced => failed,
                failed = tasks.broken() => Err(failed),
            }
        }
        // Where there is a running process, it goes on: the end of this one loses nothing.
        Err(error) => Err(error),
    };
    // The listeners close their sockets once they have accepted the clients that wait.
    drop(sockets);
    drain(&parts.engine, &shut_down, listeners).await;
    tasks.end();
    // Threads may hold the engine a little longer than this, and nothing waits for them.
    parts.engine.flush();
    announcement.withdraw();
    served
}

impl Parts {
    fn reloader(&mut self, origin: ConfigSource, tls: Swappable, log: LogFilter) -> Reloader {
        let started = Started {
            origin,
            config: Config { limits: self.written, ..self.config.clone() },
            read_at: self.read_at,
            tls,
            lookups: std::mem::take(&mut self.lookups),
            log,
        };
        Reloader::new(started, self.engine.clone(), self.of_reloads.clone())
    }
}

/// What runs beside the listeners, to the end of the process.
struct Tasks {
    admin: JoinHandle<std::io::Result<()>>,
    reload: JoinHandle<std::io::Result<()>>,
}

impl Tasks {
    /// Waits until one of them has failed.
    async fn broken(&mut self) -> StartError {
        tokio::select! {
            failed = broken("the admin port", &mut self.admin) => failed,
            failed = broken("the reloads", &mut self.reload) => failed,
        }
    }

    fn end(self) {
        self.reload.abort();
        self.admin.abort();
    }
}

/// Waits until one of the tasks that must not end has failed.
async fn broken(what: &'static str, task: &mut JoinHandle<std::io::Result<()>>) -> StartError {
    match task.await {
        // The admin port ends where another process serves it.
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => StartError::Broken { what, why: error.to_string() },
        Err(error) => StartError::Broken { what, why: error.to_string() },
    }
}

/// Accepts clients, on each listener.
fn listen(parts: &Parts, sockets: &Sockets, tls: Swappable, shutdown: &watch::Receiver<bool>) -> JoinSet<()> {
    let limits = parts.config.limits.listener;
    let connections = ConnectionLimits::new(&limits);
    let mut listeners = JoinSet::new();
    for ((settings, tls), socket) in parts.config.listeners.iter().zip(tls).zip(&sockets.listeners) {
        let address = socket.bound();
        tracing::info!(%address, "listening");
        let instruments = parts.of_listeners.clone();
        let engine = parts.engine.clone();
        let http = Http::new(address, settings, limits, instruments.clone(), engine);
        let listener = Listener::new(address, settings, tls, limits, connections.clone(), instruments, http);
        listeners.spawn(listener.serve(socket.clone(), shutdown.clone()));
    }
    tracing::info!(address = %sockets.admin.bound(), "admin listening");
    if let Some(explain) = &sockets.explain {
        tracing::info!(address = %explain.bound(), "explain listening");
    }
    listeners
}

/// Tells balancers that the process is about to end, and serves on until they have noticed. Another signal ends that.
async fn leave(parts: &Parts, admin: &Admin) -> Result<(), StartError> {
    let delay = parts.config.limits.listener.drain_delay;
    let was_in_service = parts.engine.is_in_service();
    admin.drain();
    parts.engine.leave_service();
    if delay.is_zero() || !was_in_service {
        return Ok(());
    }
    tracing::info!(?delay, "leaving: balancers are told, and requests are served until they have noticed");
    let mut again = Stop::listen()?;
    // The time is over, or it is not to be waited for.
    let _ = tokio::time::timeout(delay, again.received()).await;
    Ok(())
}

/// Has the running process let go, where there is one, and says which process serves now. Gives whether there was one.
async fn take_over(
    predecessor: Option<Predecessor>,
    announcement: &Announcement,
) -> Result<bool, StartError> {
    let Some(predecessor) = predecessor else {
        announcement.pid()?;
        return Ok(false);
    };
    let relieved = predecessor.relieve().await?;
    service_manager::takes_over();
    let told = announcement.pid();
    // The old process ends after this. A service manager that watches it looks for the new one then, so it is told before.
    drop(relieved);
    or_serve_on(told, true)?;
    Ok(true)
}

/// Says in one line what has started: which version, by which policy, where, and whether it is ready.
fn say_started(parts: &Parts, sockets: &Sockets, admin: &Admin) {
    let addresses = |sockets: &[Arc<ListenSocket>]| {
        sockets.iter().map(|socket| socket.bound().to_string()).collect::<Vec<_>>().join(", ")
    };
    let unready = admin.unready();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        policy_revision = %parts.engine.live().snapshot.revision,
        listeners = addresses(&sockets.listeners),
        admin = %sockets.admin.bound(),
        ready = unready.is_empty(),
        waits_for = (!unready.is_empty()).then(|| unready.join("; ")),
        "started"
    );
}

/// Says where requests are served, once they are. Ends only where that fails.
async fn announce(
    announcement: &Announcement,
    admin: &Admin,
    engine: &Engine,
    took_over: bool,
) -> Result<(), StartError> {
    if !admin.unready().is_empty() {
        wait_until_ready(admin).await;
        tracing::info!("ready");
        service_manager::is_ready();
    }
    engine.begin_service();
    or_serve_on(announcement.addresses(admin).await, took_over)?;
    std::future::pending().await
}

/// A process that has taken over must not end because of a file: the old one no longer serves, and this one is the only one
/// that does.
fn or_serve_on(told: Result<(), StartError>, took_over: bool) -> Result<(), StartError> {
    match told {
        Err(error) if took_over => {
            tracing::error!(%error, "serving on");
            Ok(())
        }
        told => told,
    }
}

/// Waits for the requests under way. New connections are those of the next process, or refused.
async fn drain(engine: &Engine, shut_down: &watch::Sender<bool>, mut listeners: JoinSet<()>) {
    tracing::info!("draining");
    engine.drain();
    // An error means that no task listens any more.
    let _ = shut_down.send(true);
    while listeners.join_next().await.is_some() {}
}

/// Loads keys until the gate can serve in another one's place.
async fn ready_to_take_over(
    admin: &Admin,
    authn: &Authenticator,
    deadline: Instant,
) -> Result<(), StartError> {
    let ready = async {
        authn.load_keys().await;
        wait_until_ready(admin).await;
    };
    let in_time = tokio::time::timeout_at(deadline.into(), ready).await;
    in_time.map_err(|_| StartError::Unready(admin.unready().join("; ")))
}

/// What the operator's address says of reloads.
fn reports_of(status: Arc<ArcSwap<ReloadStatus>>) -> ReloadReporter {
    Arc::new(move || {
        let status = status.load();
        let failed = status.failures().into_iter().map(|(part, why)| (part.as_str(), why)).collect();
        let changes = status.changes().map(|change| ReloadChange {
            time: change.time,
            parts: change.parts.iter().map(|part| part.as_str()).collect(),
            cause: change.cause.clone(),
            lag: change.lag,
            diagnostic: change.fault.clone(),
        });
        ReloadReport {
            failed,
            failure: status.failure(),
            restart: status.restart.clone(),
            changes: changes.collect(),
            certificates: status.certificates.clone(),
            names: status.names.clone(),
        }
    })
}
