//! Who is denied what, counted in bounded memory.
//!
//! A sketch of the "space saving" kind (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k
//! elements in data streams", 2005) with weights that fade: a denial weighs half of one that came an hour later. So a key
//! that was denied often last week makes room for one that is denied now. A key that comes in where all places are taken
//! takes the place of the lightest, and its weight with it: so a frequent key is never pushed out by many rare ones.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::line::DeniedLine;

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

#[derive(Debug)]
struct Counted {
    weight: f64,
    denied: DeniedCaller,
}

/// The sketch.
#[derive(Debug, Default)]
pub(super) struct DenialCounts {
    /// By caller, method and reason, as `key` writes them.
    keys: HashMap<Box<str>, Counted>,
    /// When a denial weighs 1.
    begun: Option<SystemTime>,
    /// Where a key is written before it is looked up. It keeps its room.
    key: String,
}

impl DenialCounts {
    pub(super) fn count(&mut self, line: &DeniedLine<'_>, now: SystemTime) {
        let weight = self.weight(now);
        write_key(&mut self.key, line);
        if let Some(Counted { weight: known, denied }) = self.keys.get_mut(&*self.key) {
            *known += weight;
            denied.count += 1;
            denied.last = now;
            denied.last_id.clear();
            push_bounded(&mut denied.last_id, &line.id);
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
        let denied = DeniedCaller {
            principal: line.principal.as_deref().map(bounded),
            method: line.method.as_deref().map(bounded),
            reason: bounded(&line.reason),
            count: 1,
            since: now,
            last: now,
            last_id: bounded(&line.id),
        };
        self.keys.insert(self.key.as_str().into(), Counted { weight: inherited + weight, denied });
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
        let mut all: Vec<&Counted> = self.keys.values().collect();
        all.sort_by(|one, other| {
            let by_weight = other.weight.total_cmp(&one.weight);
            by_weight.then_with(|| names(&one.denied).cmp(&names(&other.denied)))
        });
        all.into_iter().take(most).map(|counted| counted.denied.clone()).collect()
    }
}

/// What names a caller, a method and a reason together. No name has control characters.
fn write_key(key: &mut String, line: &DeniedLine<'_>) {
    key.clear();
    for name in [line.principal.as_deref(), line.method.as_deref(), Some(&*line.reason)] {
        match name {
            None => key.push('\u{1}'),
            Some(name) => push_bounded(key, name),
        }
        key.push('\0');
    }
}

/// By what denials of one weight are sorted.
fn names(denied: &DeniedCaller) -> (Option<&str>, Option<&str>, &str) {
    (denied.principal.as_deref(), denied.method.as_deref(), &denied.reason)
}

fn bounded(text: &str) -> String {
    let mut bounded = String::new();
    push_bounded(&mut bounded, text);
    bounded
}

fn push_bounded(buffer: &mut String, text: &str) {
    match text.split_at_checked(text.floor_char_boundary(NAME)) {
        Some((beginning, rest)) if !rest.is_empty() => {
            buffer.push_str(beginning);
            buffer.push('…');
        }
        _ => buffer.push_str(text),
    }
}
