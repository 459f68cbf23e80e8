//! The first page, put together: the verdict, and all sections.

use std::time::Duration;

use maud::{Markup, html};

use super::access::{self, Reader};
use super::layout::{Mood, Page, facts, verdict};
use super::metric;
use super::sections::{
    backends, cancels, certificates, changes, decisions, denied, find, keys, room, services,
};
use super::state::{Concern, GateView};
use super::words::{ago, clock_time, counted, instant, number, percent};

/// Decisions of the last minutes that the verdict counts.
const OF_LATE: Duration = Duration::from_secs(5 * 60);

/// The memory counts in steps of ten seconds: the one that is under way counts as well.
const UNDER_WAY: Duration = Duration::from_secs(10);

impl GateView<'_> {
    pub(super) fn page(&self) -> Page {
        let mut contents = Vec::new();
        let mut sections = Vec::new();
        let mut add = |id: &'static str, title: &'static str, content: Markup| {
            contents.push((id, title));
            sections.push(super::layout::section(id, title, content));
        };
        let is_told = self.reader.is_told();
        if is_told {
            add("changes", "Changes", changes::content(self));
            add("denied", "Denied", denied::content(self));
            add("find", "Find", find::content(&find::Asked::default()));
            add("keys", "Keys", keys::content(self));
            add("backends", "Backends", backends::content(self));
        }
        add("cancels", "Cancels", cancels::content(self));
        add("room", "Room", room::content(self));
        if is_told {
            add("certificates", "Certificates", certificates::content(self));
            add("services", "Services", services::content(self));
            add("decisions", "Decisions", decisions::content(self));
        }
        let main = html! {
            h1.visually-hidden { "How this gate is" }
            (self.verdict())
            @match self.reader {
                Reader::LoggedOut => (access::form("/", None)),
                Reader::Never => p.note { "Names of callers, methods and resources are not told at this address (" code { "admin.explain" } ")." },
                Reader::Anyone | Reader::LoggedIn => {}
            }
            @for section in &sections { (section) }
        };
        let title = self.sentence(&self.concerns()).1;
        Page { title, contents, main, is_inner: false, has_session: self.reader.has_session() }
    }

    fn concerns(&self) -> Vec<Concern> {
        let mut concerns = self.unready();
        concerns.extend(changes::concerns(self));
        concerns.extend(keys::concerns(self));
        concerns.extend(backends::concerns(self));
        concerns.extend(room::concerns(self));
        concerns.extend(certificates::concerns(self));
        concerns.sort_by_key(|concern| std::cmp::Reverse(concern.mood));
        concerns
    }

    fn unready(&self) -> Vec<Concern> {
        let of = |why: String| {
            let is_draining = why.starts_with("the process is draining");
            let mood = if is_draining { Mood::Warning } else { Mood::Bad };
            let text = if is_draining { why.clone() } else { "an issuer has no keys".to_owned() };
            Concern::new(mood, text).told(why).at(if is_draining { "room" } else { "keys" })
        };
        self.admin.unready().into_iter().map(of).collect()
    }

    /// The answer to: is it well?
    fn sentence(&self, concerns: &[Concern]) -> (Mood, String) {
        let worst = concerns.iter().map(|concern| concern.mood).max().unwrap_or(Mood::Good);
        let of = |mood| concerns.iter().filter(|concern| concern.mood == mood).count();
        let unready = self.admin.unready();
        let sentence = match (unready.is_empty(), worst) {
            (true, Mood::Bad) => {
                let are = if of(Mood::Bad) == 1 { "is" } else { "are" };
                format!("Ready, but {} {are} broken", counted(of(Mood::Bad), "thing"))
            }
            (true, Mood::Warning) => {
                format!("Ready, with {} to look at", counted(of(Mood::Warning), "thing"))
            }
            (true, Mood::Good | Mood::Neutral) => "Ready: requests are decided".to_owned(),
            (false, Mood::Warning) => "Draining: the last requests are answered".to_owned(),
            (false, _) => "Not ready: no requests should be sent here".to_owned(),
        };
        (worst, sentence)
    }

    fn verdict(&self) -> Markup {
        let concerns = self.concerns();
        let (mood, sentence) = self.sentence(&concerns);
        let is_told = self.reader.is_told();
        let more = html! {
            @if !concerns.is_empty() {
                ul {
                    @for Concern { mood, text, told, section } in &concerns {
                        li {
                            (super::layout::badge(*mood, if *mood == Mood::Bad { "broken" } else { "look" })) " "
                            @let text = told.as_ref().filter(|_| is_told).unwrap_or(text);
                            @match section.filter(|_| is_told) {
                                Some(section) => a href={ "#" (section) } { (text) },
                                None => (text),
                            }
                        }
                    }
                }
            }
            (self.numbers())
        };
        verdict(mood, &sentence, more)
    }

    fn numbers(&self) -> Markup {
        let share = self.admin.recent.share(self.now - OF_LATE, self.now + UNDER_WAY);
        let count = |name: &str| html! { (self.scraped.sum(name, &[]).map_or("–".to_owned(), number)) };
        let time = |name: &str| match self.scraped.sum(name, &[]).and_then(instant) {
            Some(time) => ago(time, self.now),
            None => html! { "–" },
        };
        let mut told = vec![
            ("Now", clock_time(self.now)),
            ("Started", time(metric::PROCESS_START_TIME_SECONDS)),
            ("Requests", count(metric::REQUESTS_TOTAL)),
            ("Decided, last 5 min", html! { (number(share.decided as f64)) }),
            ("Denied of those", html! { (percent(share.percent())) }),
            ("Undecided since start", self.undecided()),
            ("The gate's own time", self.overhead()),
        ];
        if self.reader.is_told() {
            told.insert(2, ("Policy revision", html! { code { (self.live.snapshot.revision) } }));
            let loaded = time(metric::POLICY_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS);
            told.insert(3, ("In force", loaded));
        }
        facts(told)
    }

    /// On average, without backends, issuers and bodies.
    fn overhead(&self) -> Markup {
        let sum = self.scraped.sum(metric::OVERHEAD_DURATION_SECONDS_SUM, &[]);
        let count = self.scraped.sum(metric::OVERHEAD_DURATION_SECONDS_COUNT, &[]);
        let average = sum.zip(count).filter(|(_, count)| *count > 0.0).map(|(sum, count)| 1e3 * sum / count);
        html! { (average.map_or("–".to_owned(), |average| format!("{average:.2} ms"))) }
    }

    fn undecided(&self) -> Markup {
        let undecided = self.scraped.sum(metric::DECISIONS_TOTAL, &[("decision", "undecided")]);
        let all = self.scraped.sum(metric::DECISIONS_TOTAL, &[]);
        let share = undecided.zip(all).filter(|(_, all)| *all > 0.0).map(|(some, all)| 100.0 * some / all);
        html! {
            (undecided.map_or("–".to_owned(), number))
            @if let Some(share) = share.filter(|share| *share > 0.0) { " (" (percent(Some(share))) ")" }
        }
    }
}
