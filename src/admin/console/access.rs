//! Who reads names in the console: those who may read policy at this address (`admin.explain`).
//!
//! Where a token is asked for, a form takes it and a cookie stands for it from then on. A page of another site can send a
//! browser here, but not with the cookie (`SameSite=Strict`), and not to the form (`Origin`).

use std::time::Instant;

use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, refusal, section};
use crate::admin::refused::AdminRefusal;
use crate::admin::serving::PeerAddress;
use crate::admin::surface::Surface;
use crate::admin::told::PolicyReaders;
use crate::http::network;

/// What a client may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Everything: no token is asked for.
    Anyone,
    /// Everything: the token was shown.
    LoggedIn,
    /// No names until the token is shown.
    LoggedOut,
    /// No names at this address.
    Never,
}

impl Reader {
    /// Whether names are told.
    pub(super) fn is_told(self) -> bool {
        matches!(self, Self::Anyone | Self::LoggedIn)
    }

    pub(super) fn has_session(self) -> bool {
        self == Self::LoggedIn
    }
}

impl Surface {
    /// Who asks.
    pub(super) fn reader(&self, headers: &HeaderMap) -> Reader {
        let PolicyReaders::Bearer(file) = &self.told else {
            return if matches!(self.told, PolicyReaders::Always) { Reader::Anyone } else { Reader::Never };
        };
        let has_session =
            || file.in_force().is_some_and(|secret| self.sessions.has(headers, &secret, Instant::now()));
        match self.told.judge(headers).is_ok() || has_session() {
            true => Reader::LoggedIn,
            false => Reader::LoggedOut,
        }
    }
}

/// A page for those who are told names; for others a page that says how to be.
pub(super) fn told(surface: &Surface, headers: &HeaderMap, next: &str) -> Result<Reader, Box<Response>> {
    let reader = surface.reader(headers);
    if is_of_another_site(headers) {
        let refused = AdminRefusal::new("requests of other web pages are refused", "open the console itself")
            .with(StatusCode::FORBIDDEN);
        return Err(Box::new(refusal(refused, reader.has_session())));
    }
    match reader {
        Reader::Anyone | Reader::LoggedIn => Ok(reader),
        Reader::LoggedOut => {
            let main = html! { h1 { "Log in" } (form(next, None)) };
            Err(Box::new(Page::inner("Log in", false, main).answer(StatusCode::UNAUTHORIZED)))
        }
        Reader::Never => {
            let help = "`admin.explain` of the configuration says where, if anywhere";
            let refused =
                AdminRefusal::new("names are not told at this address", help).with(StatusCode::NOT_FOUND);
            Err(Box::new(refusal(refused, reader.has_session())))
        }
    }
}

/// Whether a page of another site asks in the background. One that only leads here is a link, as in a dashboard.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let is_own = said("sec-fetch-site").is_none_or(|site| site == b"same-origin" || site == b"none");
    let is_link = said("sec-fetch-mode") == Some(b"navigate") && said("sec-fetch-dest") == Some(b"document");
    !is_own && !is_link
}

/// Whether a form of this very page was sent. Browsers name the page's origin in every POST.
fn is_own_form(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let Some(origin) = origin else { return !is_of_another_site(headers) };
    let named = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    named.is_some() && named == host
}

/// The form that takes the token.
pub(super) fn form(next: &str, wrong: Option<&str>) -> Markup {
    let content = html! {
        p { "Names of callers, methods and resources are told to those who have the token of this gate." }
        @if let Some(wrong) = wrong {
            p role="alert" id="login-wrong" { strong { (wrong) } }
        }
        form.ask method="post" action="/console/login" {
            input type="hidden" name="next" value=(next);
            label {
                "Token " span.hint { "(the file of " code { "admin.explain.token_file" } " holds it)" }
                input type="password" name="token" autocomplete="current-password" required
                    aria-describedby=[wrong.map(|_| "login-wrong")];
            }
            button { "Log in" }
        }
    };
    section("login", "Log in to see names", content)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    token: String,
    #[serde(default)]
    next: String,
}

/// Takes the token, and answers with the cookie.
pub(super) async fn login(
    State(surface): State<Surface>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
    login: Result<Form<Login>, FormRejection>,
) -> Response {
    let refuse =
        |message: &str, help: &str, status| refusal(AdminRefusal::new(message, help).with(status), false);
    let PolicyReaders::Bearer(file) = &surface.told else {
        return refuse("this address takes no token", "open the console at `/`", StatusCode::NOT_FOUND);
    };
    if !is_own_form(&headers) {
        let help = "log in at the console itself";
        return refuse("forms of other pages are refused", help, StatusCode::FORBIDDEN);
    }
    let Ok(Form(login)) = login else {
        return refuse("this is not the console's form", "log in at `/`", StatusCode::BAD_REQUEST);
    };
    let (now, network) = (Instant::now(), network(peer));
    let next = own_path(&login.next);
    // Without a token in force, none is right.
    let opened_by = file.in_force().filter(|secret| secret.is(login.token.trim().as_bytes()));
    let Some(opened_by) = opened_by else {
        // The right token is let in all the same: others may share the address, and a token is too long to be guessed.
        if !surface.sessions.may_try(network, now) {
            let help = "wait a minute, then show the right token";
            let message = "too many wrong tokens came from this address";
            return refuse(message, help, StatusCode::TOO_MANY_REQUESTS);
        }
        surface.sessions.failed(network, now);
        let main = html! { h1 { "Log in" } (form(next, Some("This is not the token."))) };
        return Page::inner("Log in", false, main).answer(StatusCode::UNAUTHORIZED);
    };
    let Ok(cookie) = surface.sessions.open(opened_by, now) else {
        tracing::error!("the system gives no random bytes for a session of the console");
        return refusal(AdminRefusal::broke_off(), false);
    };
    (StatusCode::SEE_OTHER, [(header::LOCATION, next.to_owned()), (header::SET_COOKIE, cookie)])
        .into_response()
}

/// Ends the session.
pub(super) async fn logout(State(surface): State<Surface>, headers: HeaderMap) -> Response {
    if !is_own_form(&headers) {
        let refused = AdminRefusal::new("forms of other pages are refused", "log out at the console itself");
        return refusal(refused.with(StatusCode::FORBIDDEN), false);
    }
    let cookie = surface.sessions.close(&headers);
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, cookie)])
        .into_response()
}

/// A path of the console; home for anything else.
fn own_path(next: &str) -> &str {
    let is_own = next.starts_with("/console/") || next.starts_with("/?");
    let is_plain = next.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'\\');
    if is_own && is_plain { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn a_login_leads_to_a_page_of_the_console_alone() {
        for (next, expected) in [
            ("/console/decision?id=1", "/console/decision?id=1"),
            ("/?reason=IAM", "/?reason=IAM"),
            ("", "/"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/console/\r\nx: y", "/"),
            ("/console/\\evil", "/"),
        ] {
            assert_eq!(own_path(next), expected, "{next:?}");
        }
    }

    #[test]
    fn only_the_consoles_own_forms_are_taken() {
        for (is_own, fields) in [
            (true, &[("host", "localhost:9901"), ("origin", "http://localhost:9901")][..]),
            (true, &[("host", "gate.example"), ("origin", "https://gate.example")]),
            (true, &[("host", "localhost:9901")]),
            (false, &[("host", "localhost:9901"), ("origin", "http://localhost:9902")]),
            (false, &[("host", "localhost:9901"), ("origin", "http://evil.example")]),
            (false, &[("host", "localhost:9901"), ("origin", "null")]),
            (false, &[("host", "localhost:9901"), ("sec-fetch-site", "cross-site")]),
        ] {
            assert_eq!(is_own_form(&headers(fields)), is_own, "{fields:?}");
        }
    }

    #[test]
    fn a_link_from_elsewhere_opens_the_console_and_nothing_else_from_there_does() {
        let fetch = |mode, dest| {
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]
        };
        assert!(!is_of_another_site(&headers(&fetch("navigate", "document"))));
        for (mode, dest) in [("cors", "empty"), ("no-cors", "image"), ("navigate", "iframe")] {
            assert!(is_of_another_site(&headers(&fetch(mode, dest))), "{mode} {dest}");
        }
        assert!(!is_of_another_site(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(!is_of_another_site(&HeaderMap::new()));
    }
}
