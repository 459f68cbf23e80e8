//! How many files the process may open, and which limits follow from it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admission::AdmissionLimits;
use crate::config::Limits;
use crate::listener::{ListenerLimits, affordable};

/// Raises the soft limit of open files to the hard one. The soft one is often 1,024, for programs that call `select`;
/// opgate does not call it. Returns the limit that is in force then; `None` where there is none.
fn raise_open_files() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.and_then(|files| usize::try_from(files).ok());
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files to the hard limit");
    }
    getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok())
}

/// The limits, with as many connections, and requests under way, as the process has files for, less those that `admin` may
/// take.
pub(crate) fn within_open_files(limits: Limits, admin: usize) -> Limits {
    let Some(files) = raise_open_files() else { return limits };
    let written = limits.admission;
    let connections = affordable(limits.listener.connections, files, admin);
    let requests = affordable(written.requests, files, admin);
    // A share of what there is stays a share.
    let share = |most: usize| {
        let share = most.saturating_mul(requests).div_ceil(written.requests.max(1));
        share.clamp(1, most)
    };
    let admission = AdmissionLimits {
        requests,
        requests_per_principal: share(written.requests_per_principal),
        requests_per_address: share(written.requests_per_address),
        ..written
    };
    Limits { listener: ListenerLimits { connections, ..limits.listener }, admission, ..limits }
}

/// Warns the operator where there are fewer than they wrote.
pub(crate) fn tell(written: Limits, held: Limits) {
    let rows = [
        ("connections", written.listener.connections, held.listener.connections),
        ("requests", written.admission.requests, held.admission.requests),
    ];
    for (limit, wanted, held) in rows.into_iter().filter(|(_, wanted, held)| held < wanted) {
        tracing::warn!(
            limit,
            wanted,
            held,
            "fewer than `limits` says: the process may not open enough files: raise the hard limit (`ulimit -Hn`, `LimitNOFILE=`)"
        );
    }
}
