//! The `telemetry.otlp` of the file: the collector, and what is sent to it. Names are those of OpenTelemetry's own
//! configuration (opentelemetry.io/docs/specs/otel/configuration).

use std::path::{Path, PathBuf};
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::resource::v1::Resource;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::span::attribute;
use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::scalar::{duration, set};
use crate::document::{Node, Spelling, Value};
use crate::files;
use crate::http_client::{ClientSettings, builder};

/// Longest file of header fields. Bytes.
const MOST_OF_HEADERS: u64 = 64 * 1024;
/// Most spans of a kind in each second that can be asked for.
const MOST_PER_SECOND: i64 = 100_000;

/// The collector, and what is sent to it.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    /// Its base URL, without `/v1/traces` (`OTEL_EXPORTER_OTLP_ENDPOINT`).
    pub endpoint: Url,
    /// A file of fields that go with each message, one `name=value` on a line (`OTEL_EXPORTER_OTLP_HEADERS`).
    pub headers_file: Option<PathBuf>,
    /// PEM file of the only CAs that are trusted; the system's without it (`OTEL_EXPORTER_OTLP_CERTIFICATE`).
    pub ca: Option<PathBuf>,
    /// For one message (`OTEL_EXPORTER_OTLP_TIMEOUT`).
    pub timeout: Duration,
    /// What is said of the gate with every message (`OTEL_RESOURCE_ATTRIBUTES`).
    pub resource_attributes: Vec<(String, String)>,
    /// Which requests are recorded.
    pub sampling: Sampling,
}

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The share of those that were allowed, from 0 to 1 (`OTEL_TRACES_SAMPLER_ARG` of `traceidratio`).
    pub allowed: f64,
    /// How many in a second that a trusted proxy has recorded.
    pub proxied: usize,
    /// How many in a second that were refused.
    pub denied: usize,
    /// How many in a second that could not be decided, or failed.
    pub undecided: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { allowed: 0.01, proxied: 100, denied: 10, undecided: 10 }
    }
}

impl OtlpSettings {
    /// The default for one message, as OpenTelemetry has it.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Where messages of one kind go.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.endpoint.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url
    }

    /// What is said of the gate. `service.name` is always there.
    pub(super) fn resource(&self) -> Resource {
        let version = ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let name = ("service.name".to_owned(), "opgate".to_owned());
        let written = &self.resource_attributes;
        let is_unwritten = |(key, _): &&(String, String)| written.iter().all(|(other, _)| other != key);
        let defaults = [name, version];
        let all = defaults.iter().filter(is_unwritten).chain(written);
        let attributes = all.map(|(key, value)| attribute(key, Any::StringValue(value.clone()))).collect();
        Resource { attributes, ..Resource::default() }
    }
}

/// Reads `telemetry.otlp`.
pub(crate) fn otlp(node: &Node, base: &Path, report: &mut Report) -> Option<OtlpSettings> {
    let mut fields = node.fields("`otlp`", Spelling::Exact, report)?;
    let endpoint_node = fields.required("endpoint", report);
    let endpoint = endpoint_node.and_then(|node| endpoint(node, report));
    let headers = fields.optional("headers_file").and_then(|node| Some((node, node.string(report)?)));
    let headers_file = headers.map(|(node, written)| {
        let path = located(base, written);
        if let Err(why) = read_headers(&path) {
            report
                .error(&node.span, format!("cannot use `{}`: {why}", path.display()))
                .help("the file has one `name=value` on each line, like `authorization=Bearer TOKEN`");
        }
        path
    });
    let authority = fields.optional("ca").and_then(|node| Some((node, node.string(report)?)));
    let ca = authority.map(|(_, written)| located(base, written));
    if let Some(url) = &endpoint {
        let client = builder(&[url], ClientSettings { ca: ca.as_deref(), proxy: None });
        let client = client.and_then(|builder| builder.build().map_err(crate::http_client::ClientError::Tls));
        if let (Err(error), Some(node)) = (client, authority.map(|(node, _)| node).or(endpoint_node)) {
            report.error(&node.span, error.to_string()).help(error.help());
        }
        if let Some((node, _)) = headers
            && url.scheme() == "http"
            && !is_this_machine(url)
        {
            report
                .error(&node.span, "the fields would go over plain http")
                .help("write `https` in `endpoint`, or send without fields");
        }
    }
    let mut timeout = OtlpSettings::TIMEOUT;
    set(&mut fields, "timeout", &mut timeout, duration, report);
    let attributes = fields.optional("resource_attributes");
    let resource_attributes = attributes.map(|node| resource_attributes(node, report)).unwrap_or_default();
    let sampling = fields.optional("traces").map(|node| sampling(node, report)).unwrap_or_default();
    fields.finish(report);
    Some(OtlpSettings { endpoint: endpoint?, headers_file, ca, timeout, resource_attributes, sampling })
}

fn endpoint(node: &Node, report: &mut Report) -> Option<Url> {
    let text = node.string(report)?;
    let help = "write the collector's base URL, like `http://127.0.0.1:4318` or `https://otlp.example.com`";
    let wrong = match Url::parse(text) {
        Err(_) => format!("`{}` is not a URL", text.escape_debug()),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => format!("`{text}` is not an HTTP URL"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "a credential does not belong into a URL".to_owned()
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            format!("`{text}` has a query or a fragment")
        }
        Ok(url) if url.path().ends_with("/v1/traces") || url.path().ends_with("/v1/metrics") => {
            format!("`{text}` has a path that is added by itself")
        }
        Ok(url) => return Some(url),
    };
    report.error(&node.span, wrong).help(help);
    None
}

fn is_this_machine(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

fn resource_attributes(node: &Node, report: &mut Report) -> Vec<(String, String)> {
    let entries = node.entries(report).unwrap_or_default();
    let read = |(key, _, node): (&str, &Node, &Node)| Some((key.to_owned(), node.string(report)?.to_owned()));
    entries.into_iter().filter_map(read).collect()
}

fn sampling(node: &Node, report: &mut Report) -> Sampling {
    let mut sampling = Sampling::default();
    let Some(mut fields) = node.fields("`traces`", Spelling::Exact, report) else { return sampling };
    set(&mut fields, "allowed", &mut sampling.allowed, share, report);
    set(&mut fields, "proxied", &mut sampling.proxied, per_second, report);
    set(&mut fields, "denied", &mut sampling.denied, per_second, report);
    set(&mut fields, "undecided", &mut sampling.undecided, per_second, report);
    fields.finish(report);
    sampling
}

/// A number from 0 to 1.
fn share(node: &Node, report: &mut Report) -> Option<f64> {
    let share = match node.value {
        Value::Integer(0) => Some(0.0),
        Value::Integer(1) => Some(1.0),
        Value::Float(share) if (0.0..=1.0).contains(&share) => Some(share),
        _ => None,
    };
    if share.is_none() {
        report.error(&node.span, "expected a share from 0 to 1").help("for one in a hundred, write `0.01`");
    }
    share
}

/// A whole number, in each second; 0 for none.
fn per_second(node: &Node, report: &mut Report) -> Option<usize> {
    let value = node.integer(report)?;
    let value = usize::try_from(value).ok().filter(|_| (0..=MOST_PER_SECOND).contains(&value));
    if value.is_none() {
        report
            .error(&node.span, format!("expected a number from 0 to {MOST_PER_SECOND}"))
            .help("it is how many requests are recorded in each second");
    }
    value
}

/// Reads a file of header fields. Their values are never printed.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_headers(path: &Path) -> Result<HeaderMap, String> {
    let bytes = files::read(path, MOST_OF_HEADERS).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let field = line.split_once('=').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let (name, value) = field.ok_or_else(|| format!("line {} is not `name=value`", number + 1))?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;

    fn read(text: &str) -> (Option<OtlpSettings>, String) {
        let mut report = Report::new();
        let node = document::parse(&Source::new("opgate.yaml", text), &mut report).unwrap();
        let settings = otlp(&node, Path::new("/nowhere"), &mut report);
        (settings, report.render(false))
    }

    #[test]
    fn an_endpoint_alone_is_enough() {
        let (settings, report) = read("endpoint: http://127.0.0.1:4318");
        assert_eq!(report, "");
        let settings = settings.unwrap();
        assert_eq!(settings.sampling, Sampling::default());
        assert_eq!(settings.timeout, Duration::from_secs(10));
        assert_eq!(settings.url("/v1/traces").as_str(), "http://127.0.0.1:4318/v1/traces");
        let (settings, _) = read("endpoint: http://127.0.0.1:4318/otlp/");
        assert_eq!(settings.unwrap().url("/v1/traces").path(), "/otlp/v1/traces");
    }

    #[test]
    fn the_service_has_a_name_unless_the_operator_writes_one() {
        let name = |text: &str| {
            let (settings, report) = read(text);
            assert_eq!(report, "");
            let attributes = settings.unwrap().resource().attributes;
            let names: Vec<_> =
                attributes.iter().filter(|attribute| attribute.key == "service.name").cloned().collect();
            assert_eq!(names.len(), 1);
            format!("{:?}", names[0].value)
        };
        assert!(name("endpoint: http://127.0.0.1:4318").contains("\"opgate\""));
        let written =
            "{endpoint: 'http://127.0.0.1:4318', resource_attributes: {service.name: gate-eu, a: b}}";
        assert!(name(written).contains("\"gate-eu\""));
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        insta::assert_snapshot!(
            [
                "{endpoint: 'collector:4318', headers_file: none.txt, timeout: 10}",
                "{endpoint: 'http://u:p@collector:4318', traces: {allowed: 1.5, proxied: -1, denied: many}}",
                "{endpoint: 'http://collector:4318/v1/traces', resource_attributes: [a]}",
                "{endpoint: 'http://collector:4318', headers_file: /dev/null, ca: /dev/null}",
                "{endpoints: 'http://collector:4318'}",
            ]
            .map(|text| read(text).1)
            .join("\n")
        );
    }

    #[test]
    fn fields_are_read_from_lines_and_never_printed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        std::fs::write(&path, "authorization=Bearer a=b\n\n x-tenant = one \n").unwrap();
        let headers = read_headers(&path).unwrap();
        assert_eq!(headers["authorization"], "Bearer a=b");
        assert_eq!(headers["x-tenant"], "one");
        assert!(!format!("{headers:?}").contains("Bearer"));
        std::fs::write(&path, "a=b\nsecret without a name\n").unwrap();
        assert_eq!(read_headers(&path).unwrap_err(), "line 2 is not `name=value`");
    }
}
