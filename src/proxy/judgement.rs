//! The decision with what it may wait for. [`stages::judge`] does no I/O; where it cannot tell yet, an issuer is asked: for
//! its keys, or for its word about a token.

use std::time::{Instant, SystemTime};

use super::{Live, Proxy};
use crate::authn::Lookup;
use crate::decision::stages::{self, Trail};
use crate::http::Request;
use crate::policy::Permit;
use crate::reason::{Denial, Reason};

impl Proxy {
    /// Decides a request. Two kinds wait, and no other: one whose token names a key that its issuer may have made a moment
    /// ago, for the fetch that will tell; and one whose opaque token nobody has asked about lately, for its issuer's
    /// answer. Either is then judged again, once.
    pub(super) async fn judge(
        &self,
        request: &Request,
        live: &Live,
        now: SystemTime,
        trail: &mut Trail,
    ) -> Result<Permit, Denial> {
        let judging = Instant::now();
        let mut judged = stages::judge(request, &live.snapshot, now, trail);
        let mut spent = judging.elapsed();
        match judged.as_ref().map_err(Denial::reason) {
            Err(Reason::KeyPending) => {
                let authorization: Vec<&[u8]> = request.authorization().collect();
                live.snapshot.authn.await_key(&authorization).await;
                let judging = Instant::now();
                judged = stages::judge(request, &live.snapshot, now, trail);
                spent += judging.elapsed();
            }
            Err(Reason::NotReady) => {
                let authorization: Vec<&[u8]> = request.authorization().collect();
                let metrics = self.metrics().clone();
                let observe = move |lookup: &Lookup<'_>| metrics.token_looked_up(lookup);
                if let Some(answer) = live.snapshot.authn.look_up(&authorization, now, observe).await {
                    let judging = Instant::now();
                    judged = stages::judge_answered(request, answer, &live.snapshot, now, trail);
                    spent += judging.elapsed();
                }
            }
            _ => {}
        }
        self.metrics().judge_duration.observe(spent.as_secs_f64());
        judged
    }
}
