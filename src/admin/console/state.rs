//! What the first page is made of, read once for all of its sections.

use std::sync::Arc;
use std::time::SystemTime;

use super::access::Reader;
use super::layout::Mood;
use super::scraped::Scraped;
use crate::admin::reloads::ReloadReport;
use crate::admin::surface::Admin;
use crate::clock;
use crate::engine::Live;
use crate::recent::DecisionFilter;

/// What the page is made of.
pub(super) struct GateView<'o> {
    pub(super) admin: &'o Admin,
    pub(super) live: Arc<Live>,
    pub(super) scraped: Scraped,
    pub(super) reloads: ReloadReport,
    pub(super) reader: Reader,
    pub(super) filter: DecisionFilter,
    pub(super) now: SystemTime,
}

/// Something that an operator should look at.
pub(super) struct Concern {
    pub(super) mood: Mood,
    /// In words without names.
    pub(super) text: String,
    /// With names, for those who are told them.
    pub(super) told: Option<String>,
    /// The section that says more.
    pub(super) section: Option<&'static str>,
}

impl Concern {
    pub(super) fn new(mood: Mood, text: impl Into<String>) -> Self {
        Self { mood, text: text.into(), told: None, section: None }
    }

    pub(super) fn told(self, text: impl Into<String>) -> Self {
        Self { told: Some(text.into()), ..self }
    }

    pub(super) fn at(self, section: &'static str) -> Self {
        Self { section: Some(section), ..self }
    }
}

impl<'o> GateView<'o> {
    pub(super) fn new(admin: &'o Admin, scraped: Scraped, reader: Reader, filter: DecisionFilter) -> Self {
        let reloads = (admin.reloads)();
        Self { admin, live: admin.engine.live(), scraped, reloads, reader, filter, now: clock::now() }
    }
}
