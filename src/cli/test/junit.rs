//! Results as the XML that CI systems read: JUnit's, one `testsuite` per file
//! (<https://github.com/testmoapp/junitxml> collects what readers have in common).

use std::fmt::Write;

use super::results::{Results, RunCase};
use super::text::difference;

/// The document.
pub(super) fn render(results: &Results) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites name=\"opgate test\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{:.6}\">",
        results.outcomes.len(),
        results.failed(),
        results.duration.as_secs_f64(),
    );
    // The tests of one file stand together.
    for suite in results.outcomes.chunk_by(|left, right| file(left) == file(right)) {
        self::suite(suite, results, &mut xml);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn file(outcome: &RunCase) -> String {
    outcome.case.span.source.path.display().to_string()
}

fn suite(outcomes: &[RunCase], results: &Results, xml: &mut String) {
    let file = escaped(&outcomes.first().map(file).unwrap_or_default());
    let failures = outcomes.iter().filter(|outcome| !outcome.passed).count();
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.duration.as_secs_f64()).sum();
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" time=\"{seconds:.6}\">",
        outcomes.len(),
    );
    for outcome in outcomes {
        let _ = write!(
            xml,
            "    <testcase name=\"{}\" classname=\"{file}\" file=\"{file}\" line=\"{}\" time=\"{:.6}\"",
            escaped(&outcome.case.name),
            outcome.case.span.place().line,
            outcome.duration.as_secs_f64(),
        );
        if outcome.passed {
            xml.push_str("/>\n");
            continue;
        }
        let (expected, got) = (outcome.case.expected.name(), outcome.answer.decision.name());
        let _ = writeln!(
            xml,
            ">\n      <failure message=\"{}\" type=\"{got}\">{}</failure>\n    </testcase>",
            escaped(&format!("expected {expected}, got {got}: {}", outcome.answer.because)),
            escaped(&difference(outcome, &results.directory)),
        );
    }
    xml.push_str("  </testsuite>\n");
}

/// Text as it may stand in content and in quotes. What XML 1.0 cannot hold at all (section 2.2) becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(character));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_what_it_stands_in() {
        let text = "<a b=\"c\" d='e'>&amp;]]>\n\u{0}\u{7}\u{ffff}ü";
        assert_eq!(
            escaped(text),
            "&lt;a b=&quot;c&quot; d=&apos;e&apos;&gt;&amp;amp;]]&gt;&#10;\u{fffd}\u{fffd}\u{fffd}ü"
        );
    }
}
