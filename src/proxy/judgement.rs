//! Where the gate's decision meets the one thing that a request may have to wait for: an issuer's word about a token.

use std::time::{Instant, SystemTime};

use super::{Live, Proxy};
use crate::authn::Lookup;
use crate::gate::{self, Trail};
use crate::http::Request;
use crate::policy::Permit;
use crate::reason::{Denial, Reason};

impl Proxy {
    /// Judges a request. Where nothing can be decided because nobody has asked lately what its token is, its issuer is
    /// asked, and the request is judged by the answer.
    pub(super) async fn judge(
        &self,
        request: &Request,
        live: &Live,
        now: SystemTime,
        trail: &mut Trail,
    ) -> Result<Permit, Denial> {
        let judging = Instant::now();
        let mut judged = gate::judge(request, &live.snapshot, now, trail);
        let mut spent = judging.elapsed();
        if judged.as_ref().is_err_and(|denial| denial.reason() == Reason::NotReady) {
            let authorization: Vec<&[u8]> = request.authorization().collect();
            let metrics = self.metrics().clone();
            let observe = move |lookup: &Lookup<'_>| metrics.token_looked_up(lookup);
            if let Some(answer) = live.snapshot.authn.look_up(&authorization, now, observe).await {
                let judging = Instant::now();
                judged = gate::judge_answered(request, answer, &live.snapshot, now, trail);
                spent += judging.elapsed();
            }
        }
        self.metrics().judge_duration.observe(spent.as_secs_f64());
        judged
    }
}
