//! What is wrong with an answer of gRPC.

/// Why an answer cannot be transcoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerProblem {
    /// It is not one of gRPC.
    #[error("the backend's answer is not one of gRPC: {0}")]
    NotGrpc(String),
    /// Its frames are not as they should be.
    #[error("the backend's answer is not well framed: {0}")]
    Frame(&'static str),
    /// A message beyond its bound.
    #[error("a message of the backend's answer has more than {0} bytes")]
    TooLarge(usize),
    /// A message that its descriptor does not describe, or that JSON cannot write.
    #[error("a message of the backend's answer cannot be written as JSON: {0}")]
    Message(String),
}
