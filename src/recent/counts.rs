//! Who is denied what, counted in bounded memory.
//!
//! A sketch of the "space saving" kind (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k
//! elements in data streams", 2005) with weights that fade: a denial weighs half of one that came an hour later. So a key
//! that was denied often last week makes room for one that is denied now. A key that comes in where all places are taken
//! takes the place of the lightest, and its weight with it: so a frequent key is never pushed out by many rare ones.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::line::DecisionFacts;

/// Keys at one time.
const MOST: usize = 1_000;

/// After this time a denial weighs half of a new one.
const HALF_LIFE: Duration = Duration::from_secs(60 * 60);

/// Weights are scaled down before they grow beyond two to the power of this.
const LARGEST: f64 = 512.0;

/// Bytes of a name that are kept.
const NAME: usize = 256;

/// A caller that is denied a method for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedCaller {
    /// The caller; `None` where no caller was authenticated.
    pub principal: Option<String>,
    /// The method; `None` where none was found.
    pub method: Option<String>,
    /// Why.
    pub reason: String,
    /// How often since `since`; more often, if the key was pushed out in between.
    pub count: u64,
    /// When the key was first seen.
    pub since: SystemTime,
    /// When it was denied last.
    pub last: SystemTime,
    /// The request that was denied last.
    pub last_id: String,
}

type Key = (Option<String>, Option<String>, String);

#[derive(Debug)]
struct Counted {
    weight: f64,
    count: u64,
    since: SystemTime,
    last: SystemTime,
    last_id: String,
}

/// The sketch.
#[derive(Debug, Default)]
pub(super) struct DenialCounts {
    keys: HashMap<Key, Counted>,
    /// When a denial weighs 1.
    begun: Option<SystemTime>,
}

impl DenialCounts {
    pub(super) fn count(&mut self, facts: &DecisionFacts, now: SystemTime) {
        let weight = self.weight(now);
        let key = (
            facts.principal.as_deref().map(bounded),
            facts.method.as_deref().map(bounded),
            bounded(&facts.reason),
        );
        let id = bounded(&facts.id);
        if let Some(counted) = self.keys.get_mut(&key) {
            counted.weight += weight;
            counted.count += 1;
            (counted.last, counted.last_id) = (now, id);
            return;
        }
        let mut inherited = 0.0;
        if self.keys.len() >= MOST {
            let lightest =
                self.keys.iter().min_by(|(_, one), (_, other)| one.weight.total_cmp(&other.weight));
            if let Some(key) = lightest.map(|(key, _)| key.clone())
                && let Some(lightest) = self.keys.remove(&key)
            {
                inherited = lightest.weight;
            }
        }
        let counted = Counted { weight: inherited + weight, count: 1, since: now, last: now, last_id: id };
        self.keys.insert(key, counted);
    }

    /// What a denial weighs now: the later, the more, so that older ones need not be touched.
    fn weight(&mut self, now: SystemTime) -> f64 {
        let begun = *self.begun.get_or_insert(now);
        let halves = now.duration_since(begun).unwrap_or_default().as_secs_f64() / HALF_LIFE.as_secs_f64();
        if halves <= LARGEST {
            return halves.exp2();
        }
        for counted in self.keys.values_mut() {
            counted.weight *= (-halves).exp2();
        }
        self.begun = Some(now);
        1.0
    }

    pub(super) fn top(&self, most: usize) -> Vec<DeniedCaller> {
        let mut all: Vec<(&Key, &Counted)> = self.keys.iter().collect();
        all.sort_by(|(one_key, one), (other_key, other)| {
            other.weight.total_cmp(&one.weight).then_with(|| one_key.cmp(other_key))
        });
        let told = all.into_iter().take(most).map(|((principal, method, reason), counted)| DeniedCaller {
            principal: principal.clone(),
            method: method.clone(),
            reason: reason.clone(),
            count: counted.count,
            since: counted.since,
            last: counted.last,
            last_id: counted.last_id.clone(),
        });
        told.collect()
    }
}

fn bounded(text: &str) -> String {
    let end = text.floor_char_boundary(NAME);
    match text.split_at_checked(end) {
        Some((beginning, rest)) if !rest.is_empty() => format!("{beginning}…"),
        _ => text.to_owned(),
    }
}
