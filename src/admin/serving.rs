//! Accepts connections to one admin address and serves HTTP/1 on them, as few and as short as `places.rs` says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::places::{AdminSlot, AdminSlots, ConnectionPhase};
use super::watched::WatchedStream;
use crate::listener::{ClientSocket, Complaint, ListenSocket};

/// Longest head, in bytes: room for a bearer token. hyper answers 431 to a longer one.
const MAX_HEAD: usize = 16 * 1024;

/// Most fields of a head. hyper answers 431 to more.
const MAX_FIELDS: usize = 64;

/// The other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAddress(pub(super) IpAddr);

/// Serves until another process does so on the same socket; what is being answered then is answered.
pub(super) async fn serve(listening: Arc<ListenSocket>, routes: Router, connections: usize) {
    let places = AdminSlots::new(connections);
    // One more: a connection that is closed for another has its file until its task has ended.
    let files = Arc::new(Semaphore::new(connections.saturating_add(1)));
    let (end, ending) = watch::channel(());
    let (full, failed) = (Complaint::default(), Complaint::default());
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        // No error: it is never closed.
        let Ok(file) = files.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = listening.passed_on() => break,
            accepted = listening.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if failed.is_due() {
                    tracing::error!(%error, "cannot accept a connection to the admin address");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // The address of the operator is never a Unix socket.
        let Some(ip) = peer.socket().map(|peer| peer.ip()) else { continue };
        let taken = places.take(ip);
        if taken.as_ref().is_none_or(|(_, gave_way)| *gave_way) && full.is_due() {
            tracing::warn!(
                connections,
                %peer,
                "too many connections to the admin address: the one that has waited longest is closed"
            );
        }
        // Where there is none to close, the new one is closed.
        let Some((place, _)) = taken else { continue };
        let (routes, ending) = (routes.clone(), ending.clone());
        tasks.spawn(async move {
            converse(stream, PeerAddress(ip), place, routes, ending).await;
            drop(file);
        });
    }
    drop(listening);
    drop(end);
    while tasks.join_next().await.is_some() {}
}

/// Serves one connection to its end, or to the end of its time.
async fn converse(
    stream: ClientSocket,
    peer: PeerAddress,
    place: AdminSlot,
    routes: Router,
    mut ending: watch::Receiver<()>,
) {
    let progress = &place.progress;
    let service = TowerToHyperService::new(routes);
    let service = service_fn(|mut request: Request<Incoming>| {
        progress.enter(if request.body().is_end_stream() {
            ConnectionPhase::Answering
        } else {
            ConnectionPhase::Body
        });
        request.extensions_mut().insert(progress.clone());
        request.extensions_mut().insert(peer);
        let answer = service.call(request.map(Body::new));
        async {
            let answer = answer.await;
            progress.enter(ConnectionPhase::Writing);
            answer
        }
    });
    // `Progress` keeps the time, for all stages.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(MAX_FIELDS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(WatchedStream::new(stream, progress.clone())), service);
    let mut connection = std::pin::pin!(connection);
    let mut is_ending = false;
    let outlasted = loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to the admin address failed");
                }
                return;
            }
            stage = progress.outlasted() => break stage,
            // The sender is gone: another process accepts.
            _ = ending.changed(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    tracing::debug!(?outlasted, "a connection to the admin address is closed");
}
