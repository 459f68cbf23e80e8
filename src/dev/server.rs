//! An HTTP server on a thread and a free loopback port of its own, gone when it is dropped.
//!
//! A thread with its own runtime, so that tests without a runtime can start one, and so that dropping it can wait.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What open requests get to end once the server is dropped.
const GRACE: Duration = Duration::from_millis(500);

/// A running server.
#[derive(Debug)]
pub(super) struct LoopbackServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LoopbackServer {
    /// Binds a free port of 127.0.0.1 and serves HTTP/1.1 and, with prior knowledge, HTTP/2.
    ///
    /// # Errors
    /// Where no port can be bound or no thread be started.
    pub(super) fn start(name: &'static str, router: Router) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(serve(name, listener, router, stopped)))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(name: &str, listener: TcpListener, router: Router, stopped: oneshot::Receiver<()>) {
    let (closing, closed) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        // The sender is dropped with the server: either way it is over.
        let _ = stopped.await;
        drop(closing);
    });
    let deadline = async {
        let _ = closed.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = async { server.await } => if let Err(error) = ended {
            tracing::error!(%error, "the demo's {name} stopped");
        },
        () = deadline => {}
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a server of the demo panicked");
        }
    }
}
