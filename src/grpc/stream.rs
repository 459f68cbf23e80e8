//! The messages of a request after the first one: each is judged before it goes on.

use bytes::BytesMut;

use super::fields::MessageFields;
use super::message::{MessageEncoding, MessagePrefix, PREFIX};
use super::refused;
use crate::reason::Denial;
use std::sync::Arc;

/// What a stream of messages is held against, and how far it has come.
#[derive(Clone, Debug)]
pub struct MessageStream {
    fields: Arc<MessageFields>,
    /// The values of the first message, in the order of the fields.
    judged: Vec<Box<str>>,
    encoding: MessageEncoding,
    /// Most bytes of a message.
    limit: u64,
    /// The message under way, with its prefix. Where no field is read, its prefix alone.
    kept: BytesMut,
    /// Bytes of the message under way that still pass, where no field is read.
    left: u32,
}

impl MessageStream {
    /// A stream whose first message has these values at `fields`.
    pub fn new(
        fields: Arc<MessageFields>,
        judged: Vec<Box<str>>,
        encoding: MessageEncoding,
        limit: u64,
    ) -> Self {
        Self { fields, judged, encoding, limit, kept: BytesMut::new(), left: 0 }
    }

    /// Takes the next bytes, and gives on what may go: whole messages, or bytes of one in which nothing is looked for.
    ///
    /// # Errors
    /// Where a message is malformed, or names another resource than the first one. Nothing of it has gone on.
    pub fn push(&mut self, mut data: &[u8], pass: &mut dyn FnMut(&[u8])) -> Result<(), Denial> {
        while !data.is_empty() {
            let through = data.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            if through > 0 {
                let (passed, rest) = data.split_at_checked(through).unwrap_or((data, &[]));
                pass(passed);
                self.left -= u32::try_from(through).unwrap_or(self.left);
                data = rest;
                continue;
            }
            data = self.take(data, PREFIX);
            let Some(prefix) = self.prefix()? else { return Ok(()) };
            if self.fields.is_empty() {
                pass(&self.kept);
                self.kept.clear();
                self.left = prefix.length;
                continue;
            }
            let whole = PREFIX + usize::try_from(prefix.length).unwrap_or(usize::MAX - PREFIX);
            data = self.take(data, whole);
            if self.kept.len() < whole {
                return Ok(());
            }
            self.judge(prefix)?;
            pass(&self.kept);
            self.kept.clear();
        }
        Ok(())
    }

    /// The client sends no more.
    ///
    /// # Errors
    /// Where a message has begun and not ended.
    pub fn end(&self) -> Result<(), Denial> {
        if self.kept.is_empty() && self.left == 0 {
            return Ok(());
        }
        Err(refused("the request ends within a message"))
    }

    /// Keeps bytes up to a length, and gives the rest back.
    fn take<'d>(&mut self, data: &'d [u8], length: usize) -> &'d [u8] {
        let wanted = length.saturating_sub(self.kept.len()).min(data.len());
        let (taken, rest) = data.split_at_checked(wanted).unwrap_or((data, &[]));
        self.kept.extend_from_slice(taken);
        rest
    }

    /// The prefix of the message under way, once it is there.
    fn prefix(&self) -> Result<Option<MessagePrefix>, Denial> {
        match self.kept.first_chunk::<PREFIX>() {
            None => Ok(None),
            Some(prefix) => MessagePrefix::read(*prefix, self.encoding, self.limit).map(Some),
        }
    }

    fn judge(&self, prefix: MessagePrefix) -> Result<(), Denial> {
        let message = self.kept.get(PREFIX..).unwrap_or_default();
        let content = prefix.content(message, self.limit)?;
        let values = self.fields.read(&content)?;
        for ((value, judged), path) in values.iter().zip(&self.judged).zip(self.fields.paths()) {
            if value.is_some_and(|value| !value.is_empty() && *value != **judged) {
                return Err(refused(format!(
                    "a later message of the stream has another value in the field `{path}` than the first"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
