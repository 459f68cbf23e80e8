//! The rest of a request that was answered before it was all there.

use pingora::proxy::Session;

use super::{LINGER, LINGER_BYTES};

/// Reads on for a moment after the answer, so that a reset for unread bytes does not overtake it.
pub(super) async fn drain(session: &mut Session) {
    let read = async {
        let mut seen = 0;
        while let Ok(Some(chunk)) = session.read_request_body().await {
            seen += chunk.len();
            if seen > LINGER_BYTES {
                break;
            }
        }
    };
    // Whether the client stops in time or not, the connection is over.
    let _ = tokio::time::timeout(LINGER, read).await;
}
