use std::time::Duration;

use serde_json::json;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds)
}

fn line(id: &str, decision: &str, principal: &str) -> String {
    let (reason, status) =
        if decision == "DENIED" { ("IAM_PERMISSION_DENIED", 403) } else { ("ALLOWED", 200) };
    let payload = json!({
        "authenticationInfo": { "principalSubject": principal },
        "serviceName": "library.googleapis.com", "methodName": "library.v1.Library.GetBook",
        "requestMetadata": { "requestAttributes": { "id": id, "path": "/v1/x" } },
        "metadata": { "decision": decision, "reason": reason },
    });
    let all = json!({
        "timestamp": "2026-03-01T12:00:00Z", "insertId": id, "protoPayload": payload,
        "httpRequest": { "requestMethod": "GET", "status": status },
    });
    format!("{all}\n")
}

impl Recent {
    /// Takes a line with what serde reads in it.
    fn see(&self, line: &str, now: SystemTime) {
        let facts = DecisionFacts::parse(line);
        let decision = facts.and_then(|facts| match facts.decision.as_str() {
            "ALLOWED" => Some(LineDecision::Allowed),
            "DENIED" => Some(LineDecision::Denied(DeniedLine {
                id: facts.id.into(),
                principal: facts.principal.map(Into::into),
                method: facts.method.map(Into::into),
                reason: facts.reason.into(),
                status: facts.status,
            })),
            _ => None,
        });
        self.observe(NewLine { text: line.trim_end().into(), decision }, now);
    }
}

fn ids(lines: &[(RecentLine, DecisionFacts)]) -> Vec<&str> {
    lines.iter().map(|(_, facts)| facts.id.as_str()).collect()
}

#[test]
fn allowed_calls_do_not_push_out_denials() {
    let recent = Recent::new(RecentLimits { lines: 4, ..RecentLimits::default() });
    for number in 0..3 {
        recent.see(&line(&format!("d{number}"), "DENIED", "user:bob@example.com"), at(0));
    }
    for number in 0..100 {
        recent.see(&line(&format!("a{number}"), "ALLOWED", "user:ana@example.com"), at(0));
    }
    let all = recent.last(&DecisionFilter::default(), 10);
    assert_eq!(ids(&all), ["a99", "a98", "d2", "d1"]);
    let bob = DecisionFilter { principal: "BOB@".to_owned(), ..DecisionFilter::default() };
    assert_eq!(ids(&recent.last(&bob, 1)), ["d2"]);
    for (filter, count) in [
        (DecisionFilter { reason: "iam_".to_owned(), ..DecisionFilter::default() }, 2),
        (DecisionFilter { service: "library".to_owned(), ..DecisionFilter::default() }, 4),
        (DecisionFilter { service: "getbook".to_owned(), ..DecisionFilter::default() }, 4),
        (DecisionFilter { service: "other".to_owned(), ..DecisionFilter::default() }, 0),
    ] {
        assert_eq!(recent.last(&filter, 10).len(), count, "{filter:?}");
    }
}

#[test]
fn lines_are_bounded_in_bytes() {
    let text = line("d0", "DENIED", "user:bob@example.com");
    let recent = Recent::new(RecentLimits { lines: 100, bytes: 2 * 3 * text.len() });
    for number in 0..10 {
        recent.see(&line(&format!("d{number}"), "DENIED", "user:bob@example.com"), at(0));
    }
    assert_eq!(ids(&recent.last(&DecisionFilter::default(), 10)), ["d9", "d8", "d7"]);
    // A line that has no room at all removes no other.
    recent.see(&line("long", "DENIED", &"x".repeat(3 * text.len())), at(0));
    assert_eq!(recent.last(&DecisionFilter::default(), 10).len(), 3);
    let off = Recent::new(RecentLimits { lines: 0, ..RecentLimits::default() });
    off.see(&text, at(0));
    assert!(off.last(&DecisionFilter::default(), 10).is_empty() && off.denied(10).is_empty());
}

#[test]
fn a_client_cannot_write_its_call_among_the_denials() {
    let recent = Recent::new(RecentLimits::default());
    recent.see(&line("a", "ALLOWED", r#"user:"decision":"DENIED"@example.com"#), at(0));
    assert!(recent.denied(10).is_empty());
    assert_eq!(recent.share(at(0), at(10)), DecisionShare { decided: 1, denied: 0 });
}

#[test]
fn newer_lines_are_told_with_what_was_left_out() {
    let recent = Recent::new(RecentLimits { lines: 8, ..RecentLimits::default() });
    for number in 0..10 {
        let decision = if number % 2 == 0 { "ALLOWED" } else { "DENIED" };
        recent.see(&line(&number.to_string(), decision, "user:ana@example.com"), at(0));
    }
    let newer = recent.newer(2, 3);
    let numbers: Vec<u64> = newer.lines.iter().map(|line| line.number).collect();
    assert_eq!((numbers, newer.left_out, newer.last), (vec![8, 9, 10], 5, 10));
    assert!(recent.newer(10, 3).lines.is_empty());
    let found = recent.find("\"insertId\":\"9\"", |_| true).unwrap();
    assert_eq!(found.number, 10);
    assert!(recent.find("\"insertId\":\"9\"", |_| false).is_none());
}

#[test]
fn the_denied_are_counted_with_their_last_request() {
    let recent = Recent::new(RecentLimits::default());
    for (id, who, seconds) in [("1", "bob", 0), ("2", "eve", 5), ("3", "bob", 9)] {
        recent.see(&line(id, "DENIED", &format!("user:{who}@example.com")), at(seconds));
    }
    let denied = recent.denied(20);
    assert_eq!(denied.len(), 2);
    assert_eq!(denied[0].principal.as_deref(), Some("user:bob@example.com"));
    assert_eq!((denied[0].count, denied[0].last_id.as_str()), (2, "3"));
    assert_eq!((denied[0].since, denied[0].last), (at(0), at(9)));
    assert_eq!(denied[0].reason, "IAM_PERMISSION_DENIED");
}

#[test]
fn many_rare_callers_take_bounded_memory_and_hide_no_frequent_one() {
    let recent = Recent::new(RecentLimits { lines: 2, ..RecentLimits::default() });
    for number in 0..5_000 {
        recent.see(&line("r", "DENIED", &format!("user:{number}@example.com")), at(0));
        if number % 3 == 0 {
            recent.see(&line("f", "DENIED", "user:often@example.com"), at(0));
        }
    }
    assert_eq!(recent.denied(usize::MAX).len(), 1_000);
    let first = &recent.denied(1)[0];
    assert_eq!(first.principal.as_deref(), Some("user:often@example.com"));
    assert_eq!(first.count, 1_667);
}

#[test]
fn what_is_denied_now_comes_before_what_was_denied_last_week() {
    let recent = Recent::new(RecentLimits::default());
    let week = 7 * 24 * 60 * 60;
    for _ in 0..1_000 {
        recent.see(&line("old", "DENIED", "user:old@example.com"), at(0));
    }
    recent.see(&line("new", "DENIED", "user:new@example.com"), at(week));
    assert_eq!(recent.denied(1)[0].last_id, "new");
    // Weights are scaled down before they overflow.
    recent.see(&line("later", "DENIED", "user:later@example.com"), at(20 * week));
    let order: Vec<String> = recent.denied(3).into_iter().map(|denied| denied.last_id).collect();
    assert_eq!(order, ["later", "new", "old"]);
}

#[test]
fn a_share_is_of_its_time_and_leaves_out_what_was_not_decided() {
    let recent = Recent::new(RecentLimits::default());
    recent.see(&line("1", "ALLOWED", "user:ana@example.com"), at(0));
    recent.see(&line("2", "DENIED", "user:ana@example.com"), at(300));
    recent.see(&line("3", "ALLOWED", "user:ana@example.com"), at(300));
    let undecided = line("4", "DENIED", "user:ana@example.com").replace("403", "503");
    recent.see(&undecided, at(300));
    assert_eq!(recent.share(at(0), at(300)), DecisionShare { decided: 1, denied: 0 });
    let after = recent.share(at(300), at(600));
    assert_eq!(after, DecisionShare { decided: 2, denied: 1 });
    assert_eq!(after.percent(), Some(50.0));
    assert_eq!(recent.share(at(600), at(900)).percent(), None);
    // A day is kept.
    recent.see(&line("5", "ALLOWED", "user:ana@example.com"), at(24 * 60 * 60 + 20));
    assert_eq!(recent.share(at(0), at(300)).decided, 0);
}

#[test]
fn a_line_about_something_else_is_kept_and_is_not_a_decision() {
    let recent = Recent::new(RecentLimits::default());
    recent.see(r#"{"insertId":"x","protoPayload":{"metadata":{"lost":3}}}"#, at(0));
    assert!(recent.last(&DecisionFilter::default(), 10).is_empty());
    assert_eq!(recent.last_number(), 1);
}
