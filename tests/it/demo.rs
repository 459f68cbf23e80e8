//! `opgate demo --once`: the walk, as a stranger sees it.

use crate::harness::opgate;

#[test]
fn every_step_of_the_demo_comes_out_as_expected() {
    let output = opgate().args(["demo", "--once"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("FAILED"), "{text}");

    // ` 1. Allowed: …`, its requests, and what it proves.
    let is_title = |line: &str| {
        line.trim_start().split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok())
    };
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|index| is_title(lines[*index])).collect();
    for start in &starts {
        let step: Vec<&str> = lines[*start..].iter().copied().take_while(|line| !line.is_empty()).collect();
        let verdict = step.last().unwrap();
        assert!(verdict.trim_start().starts_with("ok "), "{}", step.join("\n"));
    }
    let tally = format!("{0} of {0} steps came out as expected.", starts.len());
    assert!(text.contains(&tally), "no `{tally}` in\n{text}");
    for topic in [
        "Allowed",
        "Missing token",
        "Expired token",
        "Wrong scope",
        "No permission",
        "Another project",
        "Non-empty body",
        "Path trick",
        "Undeclared",
        "Unimplemented",
    ] {
        let told = starts.iter().any(|start| lines[*start].contains(topic));
        assert!(told, "no step is about `{topic}`");
    }
    for evidence in ["The metrics", "The audit log", "opgate_requests_total{", "IAM_PERMISSION_DENIED"] {
        assert!(text.contains(evidence), "no `{evidence}` in\n{text}");
    }
}
