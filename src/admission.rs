//! How many requests there may be at one time: of all clients, of one address and of one principal.
//!
//! A request over HTTP/2 that is not allowed yet is *pending*: it is being judged, or it was refused and its client has not
//! taken the answer. One that is allowed is *under way*. HTTP/1 needs no bound for the first: there is at most one to a
//! connection. A slot is a guard: it is given back when it is dropped.
//!
//! Addresses and principals have [`Shares`].

pub(crate) mod settings;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub use self::settings::AdmissionLimits;
use crate::http::network;
use crate::reason::{Denial, Reason};
use crate::shares::Shares;

/// The slots that there are.
#[derive(Debug)]
pub struct Admission {
    pending: BoundedCounter,
    pending_by_address: Shares,
    under_way: BoundedCounter,
    by_address: Shares,
    by_principal: Shares,
    held_bytes: u64,
    bytes: AtomicU64,
    /// The bytes that each caller holds: a principal, or the address of a caller without one.
    bytes_by_caller: Shares,
}

/// How many requests there are, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionStatus {
    /// Allowed requests that are under way.
    pub in_flight: usize,
    /// How many of those there may be.
    pub limit: usize,
    /// Requests over HTTP/2 that are not allowed yet.
    pub pending: usize,
    /// How many of those there may be.
    pub pending_limit: usize,
    /// Bytes of large bodies that are held.
    pub held_bytes: u64,
    /// How many of those there may be.
    pub held_bytes_limit: u64,
}

/// A caller may hold one part in so many of `held_bytes`, or one body.
const CALLERS_SHARE: u64 = 4;

impl Admission {
    /// As many as `limits` says, all free.
    pub fn new(limits: &AdmissionLimits) -> Arc<Self> {
        Arc::new(Self {
            pending: BoundedCounter::new(limits.pending_requests),
            pending_by_address: Shares::new(limits.pending_requests_per_address),
            under_way: BoundedCounter::new(limits.requests),
            by_address: Shares::new(limits.requests_per_address),
            by_principal: Shares::new(limits.requests_per_principal),
            held_bytes: limits.held_bytes,
            bytes: AtomicU64::new(0),
            bytes_by_caller: Shares::new(amount(limits.held_bytes / CALLERS_SHARE)),
        })
    }

    /// How full it is at this moment.
    pub fn status(&self) -> AdmissionStatus {
        AdmissionStatus {
            in_flight: self.under_way.taken.load(Ordering::Relaxed),
            limit: self.under_way.most,
            pending: self.pending.taken.load(Ordering::Relaxed),
            pending_limit: self.pending.most,
            held_bytes: self.bytes.load(Ordering::Relaxed),
            held_bytes_limit: self.held_bytes,
        }
    }

    /// Counts a request as pending when it has come and nothing more is known of it.
    ///
    /// # Errors
    /// Where there are as many as there may be.
    pub fn pend(self: &Arc<Self>) -> Result<PendingSlot, Denial> {
        if !self.pending.take() {
            let detail = "as many requests are pending as there may be (`limits.pending_requests`)";
            return Err(Denial::new(Reason::Overloaded, detail));
        }
        Ok(PendingSlot { admission: self.clone(), address: None })
    }

    /// Counts an allowed request as under way.
    ///
    /// # Errors
    /// Where there are as many as there may be: of its principal, of its address, or of all.
    pub fn take(self: &Arc<Self>, address: Option<IpAddr>, principal: Option<&str>) -> Result<Slots, Denial> {
        let mut slots =
            Slots { admission: self.clone(), address: None, principal: None, counts: false, bytes: 0 };
        if let Some(principal) = principal {
            let key = self.by_principal.key(principal);
            if !self.by_principal.take(key) {
                let detail = "the principal has as many requests under way as it may have (`limits.requests_per_principal`)";
                return Err(Denial::new(Reason::PrincipalLimit, detail));
            }
            slots.principal = Some(key);
        }
        if let Some(address) = address {
            let key = self.by_address.key(network(address));
            if !self.by_address.take(key) {
                let detail = "the address has as many requests under way as it may have (`limits.requests_per_address`)";
                return Err(Denial::new(Reason::AddressLimit, detail));
            }
            slots.address = Some(key);
        }
        if !self.under_way.take() {
            let detail = "as many requests are under way as there may be (`limits.requests`)";
            return Err(Denial::new(Reason::Overloaded, detail));
        }
        slots.counts = true;
        Ok(slots)
    }
}

/// The slot of a request that is not allowed yet, or never will be.
#[derive(Debug)]
pub struct PendingSlot {
    admission: Arc<Admission>,
    address: Option<u64>,
}

impl PendingSlot {
    /// Counts it for its address as well, once that is known: a trusted proxy tells it in the head.
    ///
    /// # Errors
    /// Where the address has as many as it may have.
    pub fn count_for(&mut self, address: IpAddr) -> Result<(), Denial> {
        let key = self.admission.pending_by_address.key(network(address));
        if !self.admission.pending_by_address.take(key) {
            let detail = "the address has as many requests pending as it may have (`limits.pending_requests_per_address`)";
            return Err(Denial::new(Reason::AddressLimit, detail));
        }
        if let Some(counted) = self.address.replace(key) {
            self.admission.pending_by_address.give_back(counted);
        }
        Ok(())
    }
}

impl Drop for PendingSlot {
    fn drop(&mut self) {
        self.admission.pending.give_back();
        if let Some(address) = self.address {
            self.admission.pending_by_address.give_back(address);
        }
    }
}

/// The slots of an allowed request: of its principal, of its address, and of all.
#[derive(Debug)]
pub struct Slots {
    admission: Arc<Admission>,
    address: Option<u64>,
    principal: Option<u64>,
    counts: bool,
    bytes: u64,
}

impl Slots {
    /// Takes the place of a large body that is held until the request is answered.
    ///
    /// # Errors
    /// Where all bodies, or those of the caller, would hold more bytes than they may.
    pub fn hold(&mut self, bytes: u64) -> Result<(), Denial> {
        let caller = self.principal.or(self.address);
        if caller.is_some_and(|caller| !self.admission.bytes_by_caller.take_amount(caller, amount(bytes))) {
            let reason = if self.principal.is_some() { Reason::PrincipalLimit } else { Reason::AddressLimit };
            let detail =
                "the caller's bodies hold as many bytes as they may (a quarter of `limits.held_bytes`)";
            return Err(Denial::new(reason, detail));
        }
        let most = self.admission.held_bytes;
        let more = |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= most);
        if self.admission.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_err() {
            if let Some(caller) = caller {
                self.admission.bytes_by_caller.give_back_amount(caller, amount(bytes));
            }
            let detail = "bodies hold as many bytes as they may (`limits.held_bytes`)";
            return Err(Denial::new(Reason::Overloaded, detail));
        }
        self.bytes += bytes;
        Ok(())
    }
}

fn amount(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.counts {
            self.admission.under_way.give_back();
        }
        if self.bytes > 0 {
            if let Some(caller) = self.principal.or(self.address) {
                self.admission.bytes_by_caller.give_back_amount(caller, amount(self.bytes));
            }
            self.admission.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        }
        if let Some(address) = self.address {
            self.admission.by_address.give_back(address);
        }
        if let Some(principal) = self.principal {
            self.admission.by_principal.give_back(principal);
        }
    }
}

/// A counter with a bound.
#[derive(Debug)]
struct BoundedCounter {
    most: usize,
    taken: AtomicUsize,
}

impl BoundedCounter {
    fn new(most: usize) -> Self {
        Self { most, taken: AtomicUsize::new(0) }
    }

    fn take(&self) -> bool {
        let one_more = |taken| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(limits: AdmissionLimits) -> Arc<Admission> {
        Admission::new(&limits)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn entries(shares: &Shares) -> usize {
        shares.len()
    }

    #[test]
    fn a_place_counts_for_all_for_its_address_and_for_its_principal() {
        let admission = admission(AdmissionLimits {
            requests: 4,
            requests_per_address: 2,
            requests_per_principal: 3,
            ..AdmissionLimits::default()
        });
        let (ana, ben) = ("user:ana@example.com", "user:ben@example.com");
        let mut held = vec![
            admission.take(ip("192.0.2.1"), Some(ana)).unwrap(),
            admission.take(ip("192.0.2.1"), Some(ana)).unwrap(),
        ];
        let refused = |address, principal| admission.take(address, principal).unwrap_err().reason();
        assert_eq!(refused(ip("192.0.2.1"), Some(ben)), Reason::AddressLimit);
        assert_eq!(refused(ip("::ffff:192.0.2.1"), None), Reason::AddressLimit);
        held.push(admission.take(ip("192.0.2.2"), Some(ana)).unwrap());
        assert_eq!(refused(ip("192.0.2.3"), Some(ana)), Reason::PrincipalLimit);
        held.push(admission.take(ip("192.0.2.3"), Some(ben)).unwrap());
        assert_eq!(refused(ip("192.0.2.4"), None), Reason::Overloaded);
        // Each refusal has given back what it had taken before.
        held.clear();
        assert_eq!(admission.under_way.taken.load(Ordering::SeqCst), 0);
        assert_eq!((entries(&admission.by_address), entries(&admission.by_principal)), (0, 0));
    }

    #[test]
    fn the_bytes_of_large_bodies_have_a_bound_and_are_given_back() {
        let admission = admission(AdmissionLimits { held_bytes: 100, ..AdmissionLimits::default() });
        let mut first = admission.take(None, None).unwrap();
        first.hold(60).unwrap();
        let mut second = admission.take(None, None).unwrap();
        assert_eq!(second.hold(41).unwrap_err().reason(), Reason::Overloaded);
        assert_eq!(second.hold(u64::MAX).unwrap_err().reason(), Reason::Overloaded);
        second.hold(40).unwrap();
        drop(first);
        second.hold(60).unwrap();
        drop(second);
        assert_eq!(admission.bytes.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_caller_holds_a_quarter_of_the_bytes_or_one_body() {
        let admission = admission(AdmissionLimits { held_bytes: 100, ..AdmissionLimits::default() });
        let take = |address, principal| admission.take(address, principal).unwrap();
        let (mut first, mut second) =
            (take(None, Some("user:ana@example.com")), take(None, Some("user:ana@example.com")));
        first.hold(20).unwrap();
        assert_eq!(second.hold(6).unwrap_err().reason(), Reason::PrincipalLimit);
        second.hold(5).unwrap();
        // One that is larger than its share is not out of reach.
        let mut other = take(ip("192.0.2.1"), None);
        other.hold(60).unwrap();
        assert_eq!(take(ip("192.0.2.1"), None).hold(1).unwrap_err().reason(), Reason::AddressLimit);
        // What all hold is bounded still, and a refusal leaves nothing counted.
        let mut last = take(None, Some("user:ben@example.com"));
        assert_eq!(last.hold(16).unwrap_err().reason(), Reason::Overloaded);
        last.hold(15).unwrap();
        drop((first, second, other, last));
        assert_eq!((admission.bytes.load(Ordering::SeqCst), entries(&admission.bytes_by_caller)), (0, 0));
    }

    #[test]
    fn what_is_pending_is_counted_for_its_address_once_that_is_known() {
        let admission = admission(AdmissionLimits {
            pending_requests: 3,
            pending_requests_per_address: 1,
            ..AdmissionLimits::default()
        });
        let address = "2001:db8::1".parse().unwrap();
        let mut first = admission.pend().unwrap();
        first.count_for(address).unwrap();
        let mut second = admission.pend().unwrap();
        let neighbour = "2001:db8::2".parse().unwrap();
        assert_eq!(second.count_for(neighbour).unwrap_err().reason(), Reason::AddressLimit);
        let third = admission.pend().unwrap();
        assert_eq!(admission.pend().unwrap_err().reason(), Reason::Overloaded);
        drop((first, third));
        second.count_for(neighbour).unwrap();
        drop(second);
        assert_eq!(admission.pending.taken.load(Ordering::SeqCst), 0);
        assert_eq!(entries(&admission.pending_by_address), 0);
    }
}
