//! What a valid policy tree says that its author may not mean. Only `opgate check` reports it.
//!
//! A mistake is an error, and loading the tree finds it ([`super::Policy::load`]). This module looks for rules that are
//! well-formed and do nothing, or do more than they seem to. It parses the policies a second time, since the compiled
//! policy no longer knows where each member was written; a gate that starts or reloads does not pay for that.
//!
//! ```text
//! allow/, deny/, … ──► view ─┬─► method    exposed, and who can call it
//!                            ├─► role      bound, and asked for
//!                            ├─► group     referred to
//!                            ├─► binding   grants something, to some caller, and not too much
//!                            ├─► unmet     of methods that tell and accept what it counts on
//!                            ├─► reach     on a resource that some call is about, below what denies
//!                            ├─► shadow    changes something that another binding does not
//!                            └─► denial    denies something, to some caller
//! ```
//!
//! Notes are worth knowing; warnings are probably a mistake.

mod binding;
mod denial;
mod exposed;
mod findings;
mod group;
mod membership;
mod method;
mod reach;
mod role;
mod shadow;
mod unmet;
mod view;

use std::time::SystemTime;

use self::exposed::Exposed;
use self::findings::Findings;
use self::view::PolicyView;
use crate::catalog::Catalog;
use crate::diagnostic::Report;
use crate::policy::model::Model;
use crate::source::PolicyFiles;

/// Looks for what the author of a tree may not mean. The tree has to be one that loads without an error.
pub fn lint(files: &PolicyFiles, catalog: &Catalog, now: SystemTime, report: &mut Report) {
    // The first reading has reported its own findings already.
    let mut again = Report::new();
    let model = Model::load(files, &mut again);
    if again.is_fatal() {
        report.absorb(again);
        return;
    }
    let view = PolicyView::of(&model, now);
    let exposed = Exposed::of(catalog);
    let mut findings = Findings::new(report);
    method::closed(files, catalog, &mut findings);
    method::undescribed(files, catalog, &mut findings);
    method::incomplete(catalog, &mut findings);
    method::not_over_grpc(files, catalog, &mut findings);
    method::out_of_reach(files, &view, &exposed, &mut findings);
    role::unbound(&view, &mut findings);
    role::unasked(&view, &exposed, &mut findings);
    group::unnamed(&view, &mut findings);
    binding::fruitless(&view, &mut findings);
    binding::conditions(&view, &mut findings);
    binding::public(&view, &exposed, &mut findings);
    binding::broad(&view, &exposed, &mut findings);
    unmet::untyped(&view, &exposed, &mut findings);
    unmet::anonymous(&view, &exposed, &mut findings);
    reach::beyond(&view, catalog, &mut findings);
    reach::numbered(&view, &mut findings);
    reach::adrift(&view, &mut findings);
    shadow::shadowed(&view, &mut findings);
    denial::fruitless(&view, &exposed, &mut findings);
    findings.finish();
}

#[cfg(test)]
mod tests;
