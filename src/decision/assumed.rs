//! A call over gRPC that has not been sent, from a caller who is assumed: for simulations.

use std::sync::Arc;
use std::time::SystemTime;

use super::message::call_of;
use super::snapshot::Snapshot;
use super::stages::{about, admit_caller, ask_policy, attributes, enter, route};
use super::trace::Trace;
use crate::catalog::Method;
use crate::http::Request;
use crate::policy::Permit;
use crate::principal::Caller;
use crate::reason::{Denial, Reason, Stage};

/// Decides a call over gRPC that brings this message, without its compression, from the caller that `identify` gives.
///
/// # Errors
/// The first stage that refuses, in the order route, authenticate, scope, message, IAM.
pub fn decide_message_as(
    request: &Request,
    message: &[u8],
    identify: impl FnOnce(&Method) -> Result<Option<Arc<Caller>>, Denial>,
    snapshot: &Snapshot,
    now: SystemTime,
    trace: &mut Trace,
) -> Result<Permit, Denial> {
    let (method, caller) = admit_as(request, identify, snapshot, trace)?;
    let no_descriptor = || Denial::new(Reason::MethodNotFound, "the messages of the method are not known");
    let rpc = method.rpc.as_ref().ok_or_else(no_descriptor)?;
    let call = call_of(&method, rpc, message).inspect_err(|_| trace.stage = Stage::Request)?;
    let attributes = attributes(request, &call, now);
    ask_policy(Arc::new(call), caller, attributes, snapshot, trace)
}

/// Decides a request up to its message: the method that it calls, and the caller that `identify` gives, with a scope.
fn admit_as(
    request: &Request,
    identify: impl FnOnce(&Method) -> Result<Option<Arc<Caller>>, Denial>,
    snapshot: &Snapshot,
    trace: &mut Trace,
) -> Result<(Arc<Method>, Option<Arc<Caller>>), Denial> {
    let call = Arc::new(route(request, snapshot)?);
    enter(&mut trace.stage, &mut trace.times, Stage::Authenticate);
    trace.call = Some(call.clone());
    let caller = identify(&call.method).map_err(|denial| about(&call.method, denial))?;
    admit_caller(call.clone(), caller.clone(), snapshot, trace)?;
    Ok((call.method.clone(), caller))
}
