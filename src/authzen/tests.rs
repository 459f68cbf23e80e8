use super::*;
use crate::simulation::ScenarioCaller;

const QUESTION: &str = r#"{"subject": {"type": "user", "id": "ana@example.com"}, "action": {"name": "a.b.c"},
    "resource": {"type": "x.example.com/Thing", "id": "projects/demo"},
    "context": {"time": "2026-03-01T12:00:00Z", "ip": "192.0.2.7"}}"#;

#[test]
fn a_question_is_read() {
    let read = single(QUESTION.as_bytes()).unwrap();
    assert!(
        matches!(&read.subject, ScenarioCaller::Principal { principal, .. } if principal.as_str() == "user:ana@example.com")
    );
    assert_eq!((read.action.as_str(), read.resource.as_str()), ("a.b.c", "//x.example.com/projects/demo"));
    assert_eq!(read.ip.unwrap().to_string(), "192.0.2.7");
    assert!(read.time.is_some());
}

#[test]
fn what_is_not_a_question_is_told() {
    for (changed, by, told) in [
        ("{\"subject\"", "{\"subject\": {}, \"subject\"", "unambiguous"),
        ("\"user\"", "\"robot\"", "`subject.type` is"),
        ("ana@example.com", "ana", "`subject.id`"),
        ("\"a.b.c\"", "7", "`action.name` is not a text"),
        ("\"action\": {\"name\": \"a.b.c\"},", "", "`action` is missing"),
        ("2026-03-01T12:00:00Z", "today", "`context.time`"),
        ("192.0.2.7", "192.0.2", "`context.ip`"),
        ("\"projects/demo\"", "\"\"", "`resource.id` is not a text"),
    ] {
        let text = QUESTION.replacen(changed, by, 1);
        assert_ne!(text, QUESTION, "{changed}");
        let Unanswerable(why) = single(text.as_bytes()).unwrap_err();
        assert!(why.contains(told), "{changed}: {why}");
    }
}

#[test]
fn several_questions_take_what_they_leave_out_from_beside_them() {
    let body = r#"{"subject": {"type": "user", "id": "ana@example.com"}, "action": {"name": "read"},
        "evaluations": [
            {"resource": {"type": "t", "id": "projects/a"}},
            {"resource": {"type": "t", "id": "projects/b"}, "action": {"name": "write"}}
        ], "options": {"evaluations_semantic": "deny_on_first_deny"}}"#;
    let read = batch(body.as_bytes()).unwrap().unwrap();
    let asked: Vec<_> =
        read.evaluations.iter().map(|one| (one.action.as_str(), one.resource.as_str())).collect();
    assert_eq!(asked, [("read", "projects/a"), ("write", "projects/b")]);
    assert_eq!(read.semantic, Semantic::DenyOnFirstDeny);
    assert!(batch(QUESTION.as_bytes()).unwrap().is_none());
    let many = format!(r#"{{"evaluations": [{}]}}"#, vec!["{}"; 101].join(","));
    assert!(batch(many.as_bytes()).unwrap_err().0.contains("more than 100"));
}
