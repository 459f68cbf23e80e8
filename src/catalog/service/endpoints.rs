//! `endpoints` of a service file: whether its backends answer OPTIONS themselves (google/api/endpoint.proto).

use crate::diagnostic::{Report, Span};
use crate::document::{Node, Spelling};

/// Where the file says `allow_cors: true` of the service; `None` where it does not. As in ESPv2, an endpoint speaks of the
/// service if it has the service's name.
pub(super) fn read(node: &Node, service: Option<&str>, report: &mut Report) -> Option<Span> {
    let mut allowed = None;
    for node in node.list(report).unwrap_or_default() {
        let Some(mut fields) = node.fields("a google.api.Endpoint", Spelling::Proto, report) else {
            continue;
        };
        let name = fields.optional("name");
        let allow_cors = fields.optional("allow_cors");
        fields.ignore(&["aliases", "apis", "features", "target"]);
        fields.finish(report);
        let Some(node) = allow_cors.filter(|node| node.boolean(report) == Some(true)) else { continue };
        match name.and_then(|name| Some((name, name.string(report)?))) {
            Some((name, other)) if let Some(service) = service.filter(|service| other != *service) => {
                report
                    .warning(&name.span, format!("the endpoint `{other}` is not the service `{service}`"))
                    .help("its `allow_cors` opens nothing here: write the service's name");
            }
            _ => allowed = Some(node.span.clone()),
        }
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;

    fn read_text(text: &str) -> (bool, String) {
        let mut report = Report::new();
        let node = document::parse(&Source::new("lab.yaml", text), &mut report).unwrap();
        let allowed = read(&node, Some("lab.example.com"), &mut report).is_some();
        (allowed, report.render(false))
    }

    #[test]
    fn only_the_services_own_endpoint_counts() {
        assert_eq!(read_text("[{name: lab.example.com, allow_cors: true}]"), (true, String::new()));
        assert_eq!(
            read_text("[{name: lab.example.com, allowCors: true, target: 10.0.0.1}]"),
            (true, String::new())
        );
        assert_eq!(
            read_text("[{name: lab.example.com, allow_cors: false}, {name: x.example.com}]"),
            (false, String::new())
        );
        let (allowed, report) = read_text("[{name: x.example.com, allow_cors: true}]");
        assert!(
            !allowed && report.contains("warning: the endpoint `x.example.com` is not the service"),
            "{report}"
        );
        let (allowed, report) = read_text("[{name: lab.example.com, allow_cros: true}, {allow_cors: 'yes'}]");
        assert!(
            !allowed && report.contains("did you mean `allow_cors`?") && report.contains("found a string"),
            "{report}"
        );
    }
}
