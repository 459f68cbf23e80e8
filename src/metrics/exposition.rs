//! The text of a scrape, in the format that the scraper asks for: Prometheus's own (0.0.4), or OpenMetrics 1.0.0, which has
//! exemplars.
//!
//! The bounds of buckets are written alike in both (`1.0`, `5e-05`), so that a series has one name in both.

use std::fmt::Write;
use std::sync::PoisonError;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::exemplar::{Exemplar, Exemplars, Slots};
use super::{Family, seconds};

/// A format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// The one that the values of `Accept` ask for: OpenMetrics where it is named with no less a weight than the other.
    pub fn asked_for<'v>(accept: impl IntoIterator<Item = &'v str>) -> Self {
        let (mut open_metrics, mut plain) = (0.0, 0.0);
        for range in accept.into_iter().flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let parameter = |name: &str| {
                let found = parts.clone().filter_map(|part| part.split_once('='));
                let mut found = found.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
                found.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
            };
            let weight = parameter("q").map_or(Some(1.0), |weight| weight.parse::<f64>().ok());
            let weight = weight.unwrap_or(0.0);
            if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
                // 0.0.1 is another format.
                if parameter("version").is_none_or(|version| version == "1.0.0") {
                    open_metrics = f64::max(open_metrics, weight);
                }
            } else if media_type.eq_ignore_ascii_case("text/plain") {
                plain = f64::max(plain, weight);
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type of the text.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All series of one moment.
#[derive(Default)]
pub struct Scrape {
    families: Vec<Sampled>,
}

struct Sampled {
    gathered: MetricFamily,
    /// Of each series, in the order of the series.
    exemplars: Vec<Option<Slots>>,
}

impl Scrape {
    pub(super) fn add(&mut self, gathered: MetricFamily, known: Option<&Exemplars>) {
        let exemplars = known.map_or_else(Vec::new, |known| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let find = |metric: &Metric| {
                let values: Vec<String> =
                    metric.get_label().iter().map(|pair| pair.value().to_owned()).collect();
                known.get(&values).cloned()
            };
            gathered.get_metric().iter().map(find).collect()
        });
        self.families.push(Sampled { gathered, exemplars });
    }

    /// Adds the families without a series: their names are told all the same.
    pub(super) fn add_empty<'f>(&mut self, families: impl Iterator<Item = &'f Family>) {
        for family in families {
            if !self.families.iter().any(|sampled| sampled.gathered.name() == family.name) {
                let mut empty = MetricFamily::default();
                empty.set_name(family.name.clone());
                empty.set_help(family.help.clone());
                empty.set_field_type(match family.kind {
                    super::FamilyKind::Counter => MetricType::COUNTER,
                    super::FamilyKind::Gauge => MetricType::GAUGE,
                    super::FamilyKind::Histogram => MetricType::HISTOGRAM,
                });
                self.families.push(Sampled { gathered: empty, exemplars: Vec::new() });
            }
        }
        self.families.sort_by(|one, other| one.gathered.name().cmp(other.gathered.name()));
    }

    /// The text, without the families that are named in `without`.
    pub fn text(&self, format: Exposition, without: &[&str]) -> String {
        let mut text = Text { out: String::with_capacity(64 * 1024), format };
        for sampled in &self.families {
            if !without.contains(&sampled.gathered.name()) {
                text.family(sampled);
            }
        }
        if format == Exposition::OpenMetrics {
            text.out.push_str("# EOF\n");
        }
        text.out
    }
}

struct Text {
    out: String,
    format: Exposition,
}

impl Text {
    fn family(&mut self, sampled: &Sampled) {
        let Sampled { gathered, exemplars } = sampled;
        let name = gathered.name();
        let (kind, base) = match gathered.get_field_type() {
            MetricType::COUNTER => ("counter", name.strip_suffix("_total").unwrap_or(name)),
            MetricType::HISTOGRAM => ("histogram", name),
            // No instrument here is a summary, or has no type.
            MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => ("gauge", name),
        };
        let named = match self.format {
            Exposition::Prometheus => name,
            Exposition::OpenMetrics => base,
        };
        self.put(&["# HELP ", named, " "]);
        self.escaped(gathered.help(), self.format == Exposition::OpenMetrics);
        self.put(&["\n# TYPE ", named, " ", kind, "\n"]);
        if self.format == Exposition::OpenMetrics && base.ends_with("_seconds") {
            self.put(&["# UNIT ", base, " seconds\n"]);
        }
        for (place, metric) in gathered.get_metric().iter().enumerate() {
            if gathered.get_field_type() == MetricType::HISTOGRAM {
                self.histogram(name, metric, exemplars.get(place).and_then(Option::as_ref));
                continue;
            }
            let value = match gathered.get_field_type() {
                MetricType::COUNTER => metric.get_counter().get_value(),
                _ => metric.get_gauge().get_value(),
            };
            self.put(&[name]);
            self.labels(metric, None);
            self.value(value);
        }
    }

    fn histogram(&mut self, name: &str, metric: &Metric, exemplars: Option<&Slots>) {
        let histogram = metric.get_histogram();
        // The labels are the same in each line.
        let mut text = Text { out: String::with_capacity(128), format: self.format };
        text.labels(metric, Some(""));
        let labels = text.out.trim_end_matches("\"}").to_owned();
        let exemplar = |place: usize| exemplars?.get(place)?.load_full();
        let buckets = histogram.get_bucket();
        for (place, bucket) in buckets.iter().enumerate() {
            self.put(&[name, "_bucket", &labels, &bound(bucket.upper_bound()), "\"} "]);
            self.count(bucket.cumulative_count(), exemplar(place).as_deref());
        }
        if buckets.last().is_none_or(|last| last.upper_bound() != f64::INFINITY) {
            self.put(&[name, "_bucket", &labels, "+Inf\"} "]);
            self.count(histogram.get_sample_count(), exemplar(buckets.len()).as_deref());
        }
        self.put(&[name, "_sum"]);
        self.labels(metric, None);
        self.value(histogram.get_sample_sum());
        self.put(&[name, "_count"]);
        self.labels(metric, None);
        self.put(&[" "]);
        self.count(histogram.get_sample_count(), None);
    }

    fn put(&mut self, pieces: &[&str]) {
        pieces.iter().for_each(|piece| self.out.push_str(piece));
    }

    /// The labels, and at their end the one of a bucket's bound.
    fn labels(&mut self, metric: &Metric, bound: Option<&str>) {
        let mut between = "{";
        for pair in metric.get_label() {
            self.put(&[between, pair.name(), "=\""]);
            self.escaped(pair.value(), true);
            self.put(&["\""]);
            between = ",";
        }
        if let Some(bound) = bound {
            self.put(&[between, "le=\"", bound, "\"}"]);
        } else if between == "," {
            self.put(&["}"]);
        }
    }

    fn escaped(&mut self, text: &str, quotes: bool) {
        for one in text.chars() {
            match one {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '"' if quotes => self.out.push_str("\\\""),
                one => self.out.push(one),
            }
        }
    }

    fn value(&mut self, value: f64) {
        self.put(&[" ", &number(value), "\n"]);
    }

    fn count(&mut self, count: u64, exemplar: Option<&Exemplar>) {
        // Writing to a string does not fail.
        let _ = write!(self.out, "{count}");
        if let (Some(exemplar), Exposition::OpenMetrics) = (exemplar, self.format) {
            let Exemplar { trace_id, value, time } = exemplar;
            let (value, time) = (number(*value), seconds(*time));
            let _ = write!(self.out, " # {{trace_id=\"{trace_id}\"}} {value} {time:.3}");
        }
        self.out.push('\n');
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

/// A bucket's bound, as OpenMetrics writes numbers: `1.0`, `5e-05`.
fn bound(value: f64) -> String {
    if value.is_infinite() {
        return number(value);
    }
    let text = format!("{value:?}");
    match text.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => text,
    }
}
