//! The body of an HTTP/1 request, read before anything of the request is sent on.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::connection::Http1Connection;
use crate::engine::{BodySource, MessagePlan};
use crate::grpc::MessageEncoding;
use crate::http::{Framing, Request};
use crate::listener::ConnectionSlot;
use crate::reason::{Denial, Reason};

/// The body that comes next on a connection.
pub(super) struct Http1Body<'c> {
    connection: &'c mut Http1Connection,
    slot: &'c ConnectionSlot,
    is_chunked: bool,
    /// Whether the client waits for `100 Continue`.
    is_held_back: bool,
    timeout: Duration,
}

impl<'c> Http1Body<'c> {
    pub(super) fn new(
        connection: &'c mut Http1Connection,
        request: &Request,
        slot: &'c ConnectionSlot,
        timeout: Duration,
    ) -> Self {
        let is_chunked = request.framing == Framing::Chunked;
        Self { connection, slot, is_chunked, is_held_back: request.expects_continue(), timeout }
    }

    /// Has the client send it, where it waits to be asked (RFC 9110, section 10.1.1).
    async fn ask(&mut self) -> Result<(), Denial> {
        if !self.is_held_back {
            return Ok(());
        }
        let asked = async {
            self.connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            self.connection.flush().await
        };
        asked.await.map_err(|error| {
            Denial::new(Reason::ClientClosed, format!("the body could not be asked for: {error}"))
        })
    }
}

impl BodySource for Http1Body<'_> {
    fn permitted(&mut self) {
        self.slot.allowed();
    }

    async fn collect(
        &mut self,
        limit: u64,
        overflow: impl Fn() -> Denial + Send + Sync,
    ) -> Result<Bytes, Denial> {
        self.ask().await?;
        match tokio::time::timeout(self.timeout, self.connection.collect(limit)).await {
            Ok(Ok(data)) => Ok(data.into()),
            Ok(Err(error)) => Err(error.denial(overflow)),
            Err(_) => Err(Denial::new(Reason::BodyTimeout, "the body did not end in time")),
        }
    }

    /// gRPC needs HTTP/2.
    async fn first_message(
        &mut self,
        _: MessagePlan,
        _: MessageEncoding,
        _: u64,
        _: impl FnMut(u64) -> Result<(), Denial> + Send,
    ) -> Result<Bytes, Denial> {
        Err(Denial::new(Reason::Internal, "a message of gRPC was asked for over HTTP/1"))
    }

    async fn begin(&mut self) -> Result<(), Denial> {
        self.ask().await?;
        if !self.is_chunked {
            return Ok(());
        }
        // The head leaves once the first chunk is known to be good.
        match tokio::time::timeout(self.timeout, self.connection.begin_chunks()).await {
            Ok(begun) => begun.map_err(|error| {
                error.denial(|| Denial::new(Reason::BodyTooLarge, "the body's first chunk is too long"))
            }),
            Err(_) => Err(Denial::new(Reason::BodyTimeout, "the body's first chunk did not come in time")),
        }
    }
}
