//! What a request without a method may have meant.

use std::iter;
use std::sync::Arc;

use super::template::{Template, TemplateSegment};
use super::{Catalog, Route, Unexposed};
use crate::document::nearest;
use crate::http::Path;

/// Most routes that are proposed.
const MOST: usize = 3;

impl Catalog {
    /// The method that the request would call, were it exposed.
    pub fn closed(&self, host: &str, http_method: &::http::Method, path: &Path) -> Option<&Unexposed> {
        let rpc = self.router.closed(host, http_method, path)?;
        self.unexposed.iter().find(|unexposed| unexposed.method == rpc)
    }

    /// The exposed routes of a host that are nearest to a path; the first ones where nothing is like it.
    pub fn nearest_routes(&self, host: &str, path: &Path) -> Vec<&Route> {
        let on_host =
            |route: &&Arc<Route>| route.service.hosts.iter().any(|known| known == host || known == "*");
        let ranked: Vec<(usize, &Route)> = self
            .open
            .iter()
            .filter(on_host)
            .map(|route| (distance(&route.template, path).unwrap_or(usize::MAX), &**route))
            .collect();
        let least = ranked.iter().map(|(distance, _)| *distance).min();
        let near = ranked.into_iter().filter(|(distance, _)| Some(*distance) == least);
        near.map(|(_, route)| route).take(MOST).collect()
    }
}

/// How far a path is from what a template matches; `None` where they have no literal in common.
fn distance(template: &Template, path: &Path) -> Option<usize> {
    let (path, verb) = match path.verb() {
        Some(verb) => (path.as_str().trim_end_matches(verb).trim_end_matches(':'), Some(verb)),
        None => (path.as_str(), None),
    };
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let of_verb = match (template.verb(), verb) {
        (None, None) => 0,
        (Some(ours), Some(sent)) => difference(ours, sent),
        _ => 2,
    };
    let mut in_common = 0;
    let mut distance = of_verb;
    for (segment, sent) in iter::zip(template.segments(), &segments) {
        match segment {
            TemplateSegment::Literal(text) => {
                let difference = difference(text, sent);
                in_common += usize::from(difference < 2);
                distance += difference;
            }
            TemplateSegment::Single => {}
            TemplateSegment::Rest => return (in_common > 0).then_some(distance),
        }
    }
    distance += 2 * template.segments().len().abs_diff(segments.len());
    (in_common > 0).then_some(distance)
}

/// 0 for the same text, 1 for one that may have been meant, 2 for another.
fn difference(ours: &str, sent: &str) -> usize {
    match nearest(sent, iter::once(ours)) {
        _ if ours == sent => 0,
        Some(_) => 1,
        None => 2,
    }
}
