//! Answers to HTTP/1.0 clients, which know no chunks (RFC 9112, section 6.1): one whose length is not known ends with its
//! connection.

use std::any::Any;

use ::http::Version;
use ::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use async_trait::async_trait;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::{HttpModule, HttpModuleBuilder, Module};

/// Whether an answer to this client has to end with the connection.
pub(super) fn ends_the_connection(request: &RequestHeader, response: &ResponseHeader) -> bool {
    request.version == Version::HTTP_10 && !response.headers.contains_key(CONTENT_LENGTH)
}

/// Makes an [`Http10`] for each request.
pub(super) struct Http10Builder;

impl HttpModuleBuilder for Http10Builder {
    fn init(&self) -> Module {
        Box::new(Http10 { is_client: false })
    }
}

/// Takes the chunks out of an answer's head, where Pingora reads how it is to write the body. Pingora puts them in after
/// `response_filter`, if the backend speaks HTTP/2.
struct Http10 {
    /// Whether the client speaks HTTP/1.0.
    is_client: bool,
}

#[async_trait]
impl HttpModule for Http10 {
    async fn request_header_filter(&mut self, request: &mut RequestHeader) -> Result<()> {
        self.is_client = request.version == Version::HTTP_10;
        Ok(())
    }

    async fn response_header_filter(
        &mut self,
        response: &mut ResponseHeader,
        _end_of_stream: bool,
    ) -> Result<()> {
        if self.is_client {
            response.remove_header(&TRANSFER_ENCODING);
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
