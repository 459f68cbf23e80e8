//! The decision with what it may wait for. [`stages::judge`] does no I/O; where it cannot tell yet, an issuer is asked: for
//! its keys, or about a token.

use std::time::{Instant, SystemTime};

use super::{Live, Proxy};
use crate::authn::Lookup;
use crate::decision::stages::{self, Ruling, Trail, Unresolved};
use crate::http::Request;
use crate::policy::Permit;
use crate::reason::Denial;

impl Proxy {
    /// Decides a request. Two kinds wait, and no other: one whose token names a key that its issuer may have made a moment
    /// ago, for the fetch that will tell; and one whose opaque token nothing is known of, for its issuer's answer. Either
    /// then goes on behind its authentication.
    pub(super) async fn judge(
        &self,
        request: &Request,
        live: &Live,
        now: SystemTime,
        trail: &mut Trail,
    ) -> Result<Permit, Denial> {
        let judging = Instant::now();
        let ruling = stages::judge(request, &live.snapshot, now, trail);
        let mut spent = judging.elapsed();
        let judged = match ruling {
            Err(denial) => Err(denial),
            Ok(Ruling::Permitted(permit)) => Ok(permit),
            Ok(Ruling::Unresolved(Unresolved { call, token })) => {
                let metrics = self.metrics().clone();
                let observe = move |lookup: &Lookup<'_>| metrics.authn.looked_up(lookup);
                let resolved = live.snapshot.authn.resolve(token, now, observe).await;
                let judging = Instant::now();
                let judged = stages::resume(request, call, resolved, &live.snapshot, now, trail);
                spent += judging.elapsed();
                judged
            }
        };
        self.metrics().judge_duration.observe(spent.as_secs_f64());
        judged
    }
}
