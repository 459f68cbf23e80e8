//! The metrics, read back from the text that Prometheus scrapes: so the console and a dashboard never disagree.

use std::collections::BTreeMap;

/// A series and its value.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

/// All series, by the name of their metric.
#[derive(Debug, Default)]
pub(super) struct Scraped(BTreeMap<String, Vec<Sample>>);

impl Scraped {
    /// Reads the text format (version 0.0.4). A line that it cannot read is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut by_name = BTreeMap::<String, Vec<Sample>>::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, sample)) = sample(line) {
                by_name.entry(name).or_default().push(sample);
            }
        }
        Self(by_name)
    }

    /// The sum of the series that have these labels; `None` where there are none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.with(name, labels).map(|sample| sample.value).peekable();
        found.peek()?;
        Some(found.sum())
    }

    /// The sums of the series that have these labels, by the value of another label.
    pub(super) fn by(&self, name: &str, label: &str, labels: &[(&str, &str)]) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.with(name, labels) {
            *sums.entry(sample.label(label).to_owned()).or_default() += sample.value;
        }
        sums
    }

    /// Two labels and the value of each series.
    pub(super) fn pairs(&self, name: &str, one: &str, other: &str) -> Vec<(String, String, f64)> {
        let all = self.with(name, &[]);
        all.map(|sample| (sample.label(one).to_owned(), sample.label(other).to_owned(), sample.value))
            .collect()
    }

    fn with(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        let all = self.0.get(name).into_iter().flatten();
        all.filter(move |sample| labels.iter().all(|(label, value)| sample.label(label) == *value))
    }
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

fn sample(line: &str) -> Option<(String, Sample)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?;
    // `+Inf` and `NaN` are read as well.
    Some((name.to_owned(), Sample { labels, value: value.parse().ok()? }))
}

/// Reads `a="b",c="d"}`; gives the labels and what follows.
fn labels(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.strip_prefix(',').unwrap_or(rest);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = quoted.chars();
        loop {
            match letters.next()? {
                '"' => break,
                '\\' => match letters.next()? {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                letter => value.push(letter),
            }
        }
        labels.push((name.to_owned(), value));
        rest = letters.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_back_with_their_labels() {
        let text = "# HELP a It.\n# TYPE a counter\na{x=\"1\",y=\"q\\\"u\\\\o\\nte}\"} 2\na{x=\"2\",y=\"\"} 3 1700000\nb 4.5\n\
                    c{x=\"1\"} +Inf\nd NaN\nbroken{x=\"1\nbroken\n";
        let scraped = Scraped::parse(text);
        assert_eq!(scraped.sum("a", &[]), Some(5.0));
        assert_eq!(scraped.sum("a", &[("x", "2")]), Some(3.0));
        assert_eq!(scraped.sum("a", &[("x", "3")]), None);
        assert_eq!(scraped.sum("b", &[]), Some(4.5));
        assert_eq!(scraped.sum("c", &[]), Some(f64::INFINITY));
        assert!(scraped.sum("d", &[]).unwrap().is_nan());
        assert_eq!(scraped.sum("broken", &[]), None);
        let by = scraped.by("a", "y", &[]);
        assert_eq!(by.get("q\"u\\o\nte}"), Some(&2.0));
        assert_eq!(
            scraped.pairs("a", "x", "z"),
            [("1".into(), String::new(), 2.0), ("2".into(), String::new(), 3.0)]
        );
    }
}
