//! What the engine asks of a front end: the body of a request.

use std::future::Future;

use bytes::Bytes;

use crate::decision::MessagePlan;
use crate::grpc::MessageEncoding;
use crate::reason::Denial;

/// Where the body of a request comes from. A front end reads it in its protocol's way: it asks for it where the client
/// waits to be asked (`100-continue`), within the deadline for bodies, and refuses what is not well framed.
pub trait BodySource {
    /// Policy allows the request: its connection is one that is used.
    fn permitted(&mut self);

    /// Reads the body to its end.
    ///
    /// # Errors
    /// Where it cannot be read to its end or has more than `limit` bytes. `overflow` is the denial for the latter.
    fn collect(
        &mut self,
        limit: u64,
        overflow: impl Fn() -> Denial + Send + Sync,
    ) -> impl Future<Output = Result<Bytes, Denial>> + Send;

    /// Reads until it is known that the body is well begun; it is then passed on as it comes.
    ///
    /// # Errors
    /// Where it is not.
    fn begin(&mut self) -> impl Future<Output = Result<(), Denial>> + Send;

    /// Reads what `plan` says of a gRPC call: to the end, or until the first message is there. Gives it with what came behind
    /// it. Before more than 64 KiB are held, `hold` is told how many bytes there will be.
    ///
    /// # Errors
    /// Where it cannot be read, or has more bytes than `limit`, or there is no room.
    fn first_message(
        &mut self,
        plan: MessagePlan,
        encoding: MessageEncoding,
        limit: u64,
        hold: impl FnMut(u64) -> Result<(), Denial> + Send,
    ) -> impl Future<Output = Result<Bytes, Denial>> + Send;
}
