//! The frame of the console's pages: head, landmarks, tables that become cards on a narrow screen.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::admin::refused::AdminRefusal;

/// Nothing but the console's own style, script, icon and stream; no frame around it; forms that lead here.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Fields of every answer of the console.
pub(super) const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Not `no-referrer`: browsers would send `Origin: null` with the forms.
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");
const ICON: &str = include_str!("icon.svg");

/// A file of the console.
pub(super) fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

pub(super) async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

/// How good or bad something is. Each has a word and a sign, so that no meaning is in a colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    Good,
    Warning,
    Bad,
    Neutral,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
        }
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Warning => "!",
            Self::Bad => "✗",
            Self::Neutral => "·",
        }
    }
}

/// A word with its sign and colour.
pub(super) fn badge(mood: Mood, word: &str) -> Markup {
    html! { span class={ "badge " (mood.class()) } { span aria-hidden="true" { (mood.sign()) } " " (word) } }
}

/// The sentence at the top of a page.
pub(super) fn verdict(mood: Mood, sentence: &str, more: Markup) -> Markup {
    html! {
        div class={ "verdict " (mood.class()) } {
            p.sentence { span.sign aria-hidden="true" { (mood.sign()) } " " (sentence) }
            (more)
        }
    }
}

/// A section with its heading.
pub(super) fn section(id: &str, title: &str, content: Markup) -> Markup {
    let heading = format!("{id}-title");
    html! {
        section id=(id) aria-labelledby=(heading) {
            h2 id=(heading) { (title) }
            (content)
        }
    }
}

/// A line in place of a table without rows.
pub(super) fn nothing(text: &str) -> Markup {
    html! { p.nothing { (text) } }
}

/// The columns of a table.
pub(super) type Columns = [&'static str];

/// A table. On a narrow screen each row is a card, so its roles are written out: without them, that display would take
/// them away.
pub(super) fn table(caption: &str, columns: &Columns, rows: impl IntoIterator<Item = Vec<Markup>>) -> Markup {
    html! {
        table role="table" {
            caption.visually-hidden { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    @for column in columns { th scope="col" role="columnheader" { (column) } }
                }
            }
            tbody role="rowgroup" {
                @for cells in rows { (row(columns, &cells)) }
            }
        }
    }
}

/// A row. Its first cell is its heading.
pub(super) fn row(columns: &Columns, cells: &[Markup]) -> Markup {
    html! {
        tr role="row" {
            @for (place, (column, cell)) in columns.iter().zip(cells).enumerate() {
                @if place == 0 {
                    th scope="row" role="rowheader" data-label=(column) { (cell) }
                } @else {
                    td role="cell" data-label=(column) { (cell) }
                }
            }
        }
    }
}

/// Facts, each with its name.
pub(super) fn facts<'f>(facts: impl IntoIterator<Item = (&'f str, Markup)>) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
        }
    }
}

/// Facts that may be long, one below the other.
pub(super) fn long_facts<'f>(facts: impl IntoIterator<Item = (&'f str, Markup)>) -> Markup {
    html! {
        dl.facts.wide {
            @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
        }
    }
}

/// Text of a program, as it is. It scrolls by itself where a line is too long, also by the keyboard.
pub(super) fn listing(name: &str, text: &str) -> Markup {
    html! { pre tabindex="0" role="region" aria-label=(name) { (text) } }
}

/// A refusal as a page.
pub(super) fn refusal(refused: AdminRefusal, has_session: bool) -> Response {
    let (status, message, help) = refused.into_parts();
    let main = html! {
        h1 { "That did not work" }
        (verdict(Mood::Bad, &message, html! { p { (help) } }))
    };
    let mut response = Page::inner("Refused", has_session, main).answer(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What a page is about.
pub(super) struct Page {
    pub(super) title: String,
    /// Links within the page: target and text.
    pub(super) contents: Vec<(&'static str, &'static str)>,
    pub(super) main: Markup,
    /// Whether the page has a link home and no list of contents.
    pub(super) is_inner: bool,
    /// Whether there is a session that can be ended.
    pub(super) has_session: bool,
}

impl Page {
    /// A page beside the first one.
    pub(super) fn inner(title: impl Into<String>, has_session: bool, main: Markup) -> Self {
        Self { title: title.into(), contents: Vec::new(), main, is_inner: true, has_session }
    }

    /// The answer.
    pub(super) fn answer(self, status: StatusCode) -> Response {
        let html = self.html().into_string();
        (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
    }

    fn html(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · opgate" }
                    link rel="stylesheet" href="/console/style.css";
                    link rel="icon" href="/console/icon.svg" type="image/svg+xml";
                    script src="/console/live.js" defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (self.header())
                    main id="main" tabindex="-1" { (self.main) }
                    footer {
                        p { "opgate " (env!("CARGO_PKG_VERSION")) ". This page changes nothing." }
                    }
                }
            }
        }
    }

    fn header(&self) -> Markup {
        html! {
            header {
                div.brand {
                    a href="/" aria-current=[(!self.is_inner).then_some("page")] { "opgate" }
                    @if self.has_session {
                        form method="post" action="/console/logout" { button.quiet { "Log out" } }
                    }
                }
                nav aria-label="Contents" {
                    ul {
                        @if self.is_inner { li { a href="/" { "← All" } } }
                        @for (target, text) in &self.contents { li { a href={ "#" (target) } { (text) } } }
                    }
                }
            }
        }
    }
}
