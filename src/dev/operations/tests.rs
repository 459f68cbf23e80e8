use std::time::UNIX_EPOCH;

use super::*;

const TRAIN: &str = "projects/demo/locations/us-central1/operations/train-1";
const STUBBORN: &str = "projects/demo/locations/us-central1/operations/stubborn-1";
const INDEX: &str = "projects/demo/locations/us-central1/operations/index-1";

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_millis(millis)
}

#[test]
fn an_operation_progresses_and_finishes_on_its_own() {
    let operations = Operations::seeded(at(0));
    let states = [0, 2500, 4999, 5000, 60_000].map(|millis| {
        let operation = operations.get(INDEX, at(millis)).unwrap();
        (operation["metadata"]["progressPercent"].as_u64().unwrap(), operation["done"] == true)
    });
    assert_eq!(states, [(0, false), (50, false), (99, false), (100, true), (100, true)]);
    let done = operations.get(INDEX, at(60_000)).unwrap();
    assert!(done.get("response").is_some() && done.get("error").is_none());
    assert_eq!(done["metadata"]["endTime"], "2027-01-15T08:00:05.000Z");
}

#[test]
fn a_cancel_is_asynchronous_and_ends_in_code_1() {
    let mut operations = Operations::seeded(at(0));
    operations.cancel(TRAIN, at(1000)).unwrap();
    // A second cancel does not put the end off.
    operations.cancel(TRAIN, at(1200)).unwrap();
    let running = operations.get(TRAIN, at(1299)).unwrap();
    assert_eq!(running["done"], false);
    assert_eq!(running["metadata"]["requestedCancellation"], true);
    assert!(running.get("error").is_none() && running.get("response").is_none());
    insta::assert_snapshot!(format!("{:#}", operations.get(TRAIN, at(1300)).unwrap()));
}

#[test]
fn a_cancel_can_come_too_late() {
    let mut operations = Operations::seeded(at(0));
    operations.cancel(STUBBORN, at(1000)).unwrap();
    assert_eq!(operations.get(STUBBORN, at(1599)).unwrap()["done"], false);
    let done = operations.get(STUBBORN, at(1600)).unwrap();
    assert!(done["done"] == true && done.get("response").is_some() && done.get("error").is_none());

    // So it does when the work ends before the cancel takes effect, or has ended.
    operations.cancel(INDEX, at(4900)).unwrap();
    assert!(operations.get(INDEX, at(5000)).unwrap().get("response").is_some());
    operations.cancel(INDEX, at(9000)).unwrap();
    assert!(operations.get(INDEX, at(9999)).unwrap().get("response").is_some());
}

#[test]
fn a_cancel_can_make_an_operation_fail_or_go() {
    let mut operations = Operations::seeded(at(0));
    let name = |id: &str| format!("projects/demo/locations/europe-west1/operations/{id}");
    let (flaky, fleeting) = (name("flaky-1"), name("fleeting-1"));
    for name in [&flaky, &fleeting, &TRAIN.to_owned()] {
        operations.cancel(name, at(0)).unwrap();
        assert_eq!(operations.get(name, at(299)).unwrap()["done"], false);
    }
    assert_eq!(operations.get(&flaky, at(300)).unwrap()["error"]["code"], 13);
    assert!(matches!(operations.get(&fleeting, at(300)), Err(OperationError::NotFound(_))));
    assert!(matches!(operations.cancel(&fleeting, at(300)), Err(OperationError::NotFound(_))));
    let parent = "projects/demo/locations/europe-west1";
    let listed = operations.list(parent, &ListParameters::default(), at(300)).unwrap();
    assert_eq!(names(&listed), [flaky]);
    operations.delete(TRAIN, at(100)).unwrap();
    assert_eq!(operations.cancel_ends(at(299)), [("deleted", 1), ("running", 2)].into());
    assert_eq!(operations.cancel_ends(at(300)), [("deleted", 2), ("failed", 1)].into());
}

#[test]
fn what_does_not_exist_is_not_found() {
    let mut operations = Operations::seeded(at(0));
    assert!(matches!(
        operations.cancel("projects/demo/operations/none", at(0)),
        Err(OperationError::NotFound(_))
    ));
    operations.delete(TRAIN, at(0)).unwrap();
    assert!(matches!(operations.delete(TRAIN, at(0)), Err(OperationError::NotFound(_))));
    assert_eq!(
        operations.get(TRAIN, at(0)).unwrap_err().to_json(),
        json!({ "error": {
            "code": 404,
            "message": format!("Operation '{TRAIN}' was not found."),
            "status": "NOT_FOUND",
        }})
    );
}

fn names(list: &Value) -> Vec<&str> {
    let operations = list["operations"].as_array().unwrap();
    operations.iter().map(|operation| operation["name"].as_str().unwrap()).collect()
}

#[test]
fn pages_put_together_are_the_list() {
    let operations = Operations::seeded(at(0));
    let parent = "projects/demo/locations/us-central1";
    let whole = operations.list(parent, &ListParameters::default(), at(0)).unwrap();
    assert_eq!(names(&whole).len(), 5);
    assert!(names(&whole).iter().all(|name| name.starts_with(parent)));
    assert!(whole.get("nextPageToken").is_none());

    let mut paged = Vec::new();
    let mut page = ListParameters { page_size: 2, ..ListParameters::default() };
    loop {
        let list = operations.list(parent, &page, at(0)).unwrap();
        assert!(names(&list).len() <= 2);
        paged.extend(names(&list).into_iter().map(str::to_owned));
        match list.get("nextPageToken") {
            Some(token) => page.page_token = token.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(paged, names(&whole));
    assert_eq!(
        names(&operations.list("projects/nobody", &ListParameters::default(), at(0)).unwrap()),
        [""; 0]
    );
}

#[test]
fn filters_are_honest() {
    let operations = Operations::seeded(at(0));
    let parent = "projects/demo/locations/us-central1";
    let list = |filter: &str| {
        operations.list(
            parent,
            &ListParameters { filter: filter.to_owned(), ..ListParameters::default() },
            at(10_000),
        )
    };
    assert_eq!(names(&list("done = true").unwrap()), [INDEX]);
    assert_eq!(names(&list("done=false").unwrap()).len(), 4);
    assert!(matches!(list("metadata.verb=x"), Err(OperationError::InvalidArgument(_))));
    for page in [
        ListParameters { page_size: -1, ..ListParameters::default() },
        ListParameters { page_token: "!".to_owned(), ..ListParameters::default() },
        ListParameters {
            page_token: URL_SAFE_NO_PAD.encode("projects/other/x"),
            ..ListParameters::default()
        },
    ] {
        assert!(matches!(operations.list(parent, &page, at(0)), Err(OperationError::InvalidArgument(_))));
    }
}
