//! A backend of either version.

use std::task::{Context, Poll};

use super::backend::{AnswerSink, BackendFailure, BackendSide};
use super::http1::BackendExchange;
use super::http2::BackendStream;
use super::transcoded::TranscodedStream;
use super::wire::UpstreamConnection;

/// A backend, while an exchange has it.
#[derive(Debug)]
pub enum Backend {
    /// It has a connection of its own for the exchange.
    Http1(Box<BackendExchange<UpstreamConnection>>),
    /// It has a stream of a connection that others share.
    Http2(Box<BackendStream>),
    /// The same, for a client that is answered with JSON.
    Transcoded(Box<TranscodedStream>),
}

impl Backend {
    /// Nothing came in time: a connection that others share gets no more streams.
    pub fn fell_silent(&mut self) {
        match self {
            Self::Http1(_) => {}
            Self::Http2(stream) => stream.fell_silent(),
            Self::Transcoded(stream) => stream.fell_silent(),
        }
    }
}

impl BackendSide for Backend {
    type Connection = UpstreamConnection;

    fn send_data(&mut self, data: &[u8]) {
        match self {
            Self::Http1(exchange) => exchange.send_data(data),
            Self::Http2(stream) => stream.send_data(data),
            Self::Transcoded(stream) => stream.send_data(data),
        }
    }

    fn send_end(&mut self) {
        match self {
            Self::Http1(exchange) => exchange.send_end(),
            Self::Http2(stream) => stream.send_end(),
            Self::Transcoded(stream) => stream.send_end(),
        }
    }

    fn is_request_whole(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_request_whole(),
            Self::Http2(stream) => stream.is_request_whole(),
            Self::Transcoded(stream) => stream.is_request_whole(),
        }
    }

    fn is_unsent(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_unsent(),
            Self::Http2(stream) => stream.is_unsent(),
            Self::Transcoded(stream) => stream.is_unsent(),
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BackendFailure>> {
        match self {
            Self::Http1(exchange) => exchange.poll_send(context),
            Self::Http2(stream) => stream.poll_send(context),
            Self::Transcoded(stream) => stream.poll_send(context),
        }
    }

    fn taken(&self) -> u64 {
        match self {
            Self::Http1(exchange) => exchange.taken(),
            Self::Http2(stream) => stream.taken(),
            Self::Transcoded(stream) => stream.taken(),
        }
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl AnswerSink,
    ) -> Poll<Result<(), BackendFailure>> {
        match self {
            Self::Http1(exchange) => exchange.poll_answer(context, sink),
            Self::Http2(stream) => stream.poll_answer(context, sink),
            Self::Transcoded(stream) => stream.poll_answer(context, sink),
        }
    }

    fn is_answered(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_answered(),
            Self::Http2(stream) => stream.is_answered(),
            Self::Transcoded(stream) => stream.is_answered(),
        }
    }

    fn release(&mut self) -> Option<UpstreamConnection> {
        match self {
            Self::Http1(exchange) => exchange.release(),
            Self::Http2(stream) => {
                stream.release();
                None
            }
            Self::Transcoded(stream) => {
                stream.release();
                None
            }
        }
    }
}
