//! The client's header fields that may go upstream to a service: `request_headers`.

use crate::diagnostic::{Report, Span};
use crate::document::Node;
use crate::http::HeaderNames;
use crate::http::headers::{Fate, fate};

/// Reads the list. A field that could never go upstream is a mistake, and so is one that is listed twice.
pub(super) fn request_headers(node: &Node, report: &mut Report) -> HeaderNames {
    let mut listed: Vec<(String, Span)> = Vec::new();
    for (text, item) in node.strings(report) {
        let name = text.to_ascii_lowercase();
        if let Some((message, help)) = mistake(text, &name) {
            report.error(&item.span, message).help(help);
            continue;
        }
        match listed.iter().find(|(earlier, _)| covers(earlier, &name) || covers(&name, earlier)) {
            Some((earlier, span)) => {
                let message = if *earlier == name {
                    format!("`{text}` is listed twice")
                } else {
                    format!("`{text}` and `{earlier}` overlap")
                };
                report
                    .error(&item.span, message)
                    .related(span, "the first is here")
                    .help("keep the one that is meant");
            }
            None => listed.push((name, item.span.clone())),
        }
    }
    HeaderNames::new(listed.iter().map(|(name, _)| name.as_str()))
}

fn covers(written: &str, name: &str) -> bool {
    HeaderNames::new([written]).contains(name.strip_suffix('*').unwrap_or(name))
}

/// What is wrong with an entry, and what to do.
fn mistake(text: &str, name: &str) -> Option<(String, String)> {
    let beginning = name.strip_suffix('*');
    let plain = beginning.unwrap_or(name);
    let (message, help) = if name == "*" {
        (
            "`*` stands for every header".to_owned(),
            "leave `request_headers` out: then all that a client may send goes upstream".to_owned(),
        )
    } else if ::http::HeaderName::from_bytes(plain.as_bytes()).is_err() || plain.contains('*') {
        (
            format!("`{}` is not a header name", text.escape_debug()),
            "write a name, like `accept`, or how names begin, like `x-acme-*`".to_owned(),
        )
    } else if beginning.is_some() && !plain.ends_with('-') {
        (format!("`{text}` does not end at a hyphen"), format!("write `{plain}-*`, or list the names"))
    } else if plain == "authorization" {
        (
            "`authorization` only goes upstream by `forward`".to_owned(),
            "write `forward: [authorization]`".to_owned(),
        )
    } else if OF_NO_LIST.contains(&plain) {
        (
            format!("`{text}` cannot be chosen by this list"),
            "delete it: fields that HTTP needs always go upstream, and fields that the gate uses never do"
                .to_owned(),
        )
    } else {
        match fate(plain) {
            Fate::Passes | Fate::PassesFromProxies => return None,
            Fate::Dropped => (
                format!("a client's `{text}` never goes upstream"),
                "delete it: only the gate may send this field (`forward`)".to_owned(),
            ),
            Fate::Refused(why) => {
                (format!("a request with `{text}` is refused: {why}"), "delete it".to_owned())
            }
        }
    };
    Some((message, help))
}

/// Fields that are written for the judged body, and fields that the gate answers itself.
const OF_NO_LIST: &[&str] = &["content-encoding", "content-length", "content-type", "dpop", "expect", "host"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;

    fn read(list: &str) -> (HeaderNames, String) {
        let mut report = Report::new();
        let node = document::parse(&Source::new("opgate.yaml", list), &mut report).unwrap();
        let names = request_headers(&node, &mut report);
        (names, report.render(false))
    }

    #[test]
    fn names_and_how_names_begin_are_read_without_regard_to_case() {
        let (names, report) = read("[Accept, x-acme-*, x-goog-*, X_Acme]");
        assert_eq!(report, "");
        for name in ["accept", "x-acme-one", "x-goog-api-client", "x_acme"] {
            assert!(names.contains(name), "{name}");
        }
        assert!(!names.contains("accept-language") && !names.contains("x-acme"));
        let (names, report) = read("[]");
        assert_eq!(report, "");
        assert!(!names.contains("accept"));
    }

    #[test]
    fn a_field_that_can_never_go_upstream_is_a_mistake() {
        insta::assert_snapshot!(
            read(
                "- x y
- '*'
- 'x-*-acme'
- x-acme*
- authorization
- Content-Type
- x-opgate-principal
- x-forwarded-*
- grpc-metadata-*
- Connection
- X_Forwarded_For
- x-http-method-override
- accept
- Accept
- x-acme-*
- x-acme-one
"
            )
            .1
        );
    }
}
