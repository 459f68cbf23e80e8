//! A request as one message of gRPC.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use prost_reflect::DynamicMessage;

use super::fault::{Fault, RequestFault, RequestPart};
use super::field_path::OtherOfOneof;
use super::format::AnswerFormat;
use super::frame::HEADER;
use super::scalar::{self, Scalar, Spelling};
use super::{BodyField, TranscodedMethod, field_path, parse, query};

/// What goes to the backend, and how the client wants the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscodedRequest {
    /// The message, with the five bytes that gRPC has in front of it.
    pub frame: Bytes,
    /// How the answer is written, as the query says.
    pub format: AnswerFormat,
}

impl TranscodedMethod {
    /// Makes the message of a request. `bindings` are the path variables with their values, decoded as they were judged;
    /// `body` is JSON without a coding, empty where there is none.
    ///
    /// # Errors
    /// Where the query or the body names a field that there is not, or that the path has set to something else, or gives it a
    /// value that it does not take; and where the values of the path are not those of the message that was made.
    pub fn request(
        &self,
        bindings: &[(std::sync::Arc<str>, String)],
        query: Option<&str>,
        body: &[u8],
    ) -> Result<TranscodedRequest, RequestFault> {
        let mut message = self.body_message(body)?;
        let format = self.apply_query(&mut message, query)?;
        for (name, value) in bindings {
            self.bind(&mut message, name, value)?;
        }
        let frame = framed(&message)?;
        self.verify(bindings, frame.slice(HEADER..))?;
        Ok(TranscodedRequest { frame, format })
    }

    fn body_message(&self, body: &[u8]) -> Result<DynamicMessage, RequestFault> {
        let in_body = |faults| RequestFault::all(RequestPart::Body, faults);
        let mut message = DynamicMessage::new(self.input.clone());
        let is_empty = body.trim_ascii().is_empty();
        match &self.body {
            _ if is_empty => {}
            BodyField::Nothing => {
                let fault = Fault::of_payload("The method takes no body.");
                return Err(RequestFault::new(RequestPart::Body, fault));
            }
            BodyField::Whole => message = parse::message(&self.input, body).map_err(in_body)?,
            BodyField::Field(field) => {
                if let Some(value) = parse::field(field, body).map_err(in_body)? {
                    // The message is empty, so no other of a oneof is set.
                    let set = field_path::set(&mut message, field, value);
                    set.map_err(|OtherOfOneof| bug("two fields of a oneof in an empty message"))?;
                }
            }
        }
        Ok(message)
    }

    /// Sets the field of a path variable. Where the body has set it, it has to be the same.
    fn bind(&self, message: &mut DynamicMessage, name: &str, value: &str) -> Result<(), RequestFault> {
        let found = self.variables.iter().find(|(variable, _)| **variable == *name);
        let Some((_, path)) = found else { return Err(bug("a path variable that the rule does not have")) };
        if path.is_set(message) && path.text(message).as_deref() != Some(value) {
            let fault = Fault::of_field(path.name(), "it is not the one that the path names.");
            return Err(RequestFault::new(RequestPart::Body, fault));
        }
        let kind = path.last().kind();
        let plain = scalar::value(&kind, Scalar::Text(value), Spelling::Text);
        // `01` and `1` would be two names of one resource.
        let plain = plain.filter(|plain| scalar::text(&kind, plain).as_deref() == Some(value));
        let in_path = |fault| RequestFault::new(RequestPart::Path, fault);
        let plain = plain.ok_or_else(|| {
            let shown = super::fault::shown(&Scalar::Text(value));
            in_path(Fault::of_value(path.name(), &kind, &shown))
        })?;
        match path.holder(message) {
            Ok(Some(holder)) => {
                holder.set_field(path.last(), plain);
                Ok(())
            }
            Ok(None) => Err(bug("a field on the way of a path variable is not a message")),
            Err(OtherOfOneof) => Err(RequestFault::new(RequestPart::Body, query::other_given(path))),
        }
    }

    /// Reads the values of the path back from the bytes that are sent: the backend acts on what was judged.
    fn verify(&self, bindings: &[(std::sync::Arc<str>, String)], sent: Bytes) -> Result<(), RequestFault> {
        let read = DynamicMessage::decode(self.input.clone(), sent)
            .map_err(|error| bug(&format!("the message cannot be read back: {error}")))?;
        if self.variables.len() != bindings.len() {
            return Err(bug("not every path variable has a value"));
        }
        for (name, value) in bindings {
            let path = self.variables.iter().find(|(variable, _)| variable == name);
            if path.and_then(|(_, path)| path.text(&read)).as_deref() != Some(value) {
                return Err(bug("the message names another resource than the path"));
            }
        }
        Ok(())
    }
}

fn bug(what: &str) -> RequestFault {
    RequestFault { part: RequestPart::Message, violations: vec![(None, what.to_owned())] }
}

/// A message as gRPC frames it: not compressed, its length, its bytes (gRPC over HTTP/2, "Length-Prefixed-Message").
fn framed(message: &DynamicMessage) -> Result<Bytes, RequestFault> {
    let length = message.encoded_len();
    let announced = u32::try_from(length).map_err(|_| bug("the message is longer than 4 GiB"))?;
    let mut frame = BytesMut::with_capacity(HEADER + length);
    frame.put_u8(0);
    frame.put_u32(announced);
    message.encode(&mut frame).map_err(|error| bug(&error.to_string()))?;
    Ok(frame.freeze())
}
