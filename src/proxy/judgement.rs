//! The decision with what it may wait for. [`gate::judge`] does no I/O; where it cannot tell yet, it is asked again.

use std::time::{Instant, SystemTime};

use super::{Live, Proxy};
use crate::gate::{self, Trail};
use crate::http::Request;
use crate::policy::Permit;
use crate::reason::{Denial, Reason};

impl Proxy {
    /// Decides a request. One whose token names a key that its issuer may have made a moment ago waits for the fetch that
    /// will tell; no other waits for anything.
    pub(super) async fn judge(
        &self,
        request: &Request,
        live: &Live,
        now: SystemTime,
        trail: &mut Trail,
    ) -> Result<Permit, Denial> {
        match self.judge_at_once(request, live, now, trail) {
            Err(denial) if denial.reason() == Reason::KeyPending => {
                let authorization: Vec<&[u8]> = request.authorization().collect();
                live.snapshot.authn.await_key(&authorization).await;
                self.judge_at_once(request, live, now, trail)
            }
            judged => judged,
        }
    }

    fn judge_at_once(
        &self,
        request: &Request,
        live: &Live,
        now: SystemTime,
        trail: &mut Trail,
    ) -> Result<Permit, Denial> {
        let judging = Instant::now();
        let judged = gate::judge(request, &live.snapshot, now, trail);
        self.0.metrics.judge_duration.observe(judging.elapsed().as_secs_f64());
        judged
    }
}
