use std::time::Duration;

use super::*;

const OUTLIERS: Outliers = Outliers {
    failures: 2,
    ejection: Duration::from_secs(3600),
    longest_ejection: Duration::from_secs(3600),
};

fn settings(ports: &[u16]) -> UpstreamSettings {
    UpstreamSettings {
        name: "operations".to_owned(),
        endpoints: ports.iter().map(|port| EndpointAddress::Socket(([127, 0, 0, 1], *port).into())).collect(),
        protocol: Protocol::H1,
        tls: None,
        timeouts: Timeouts::default(),
        health_check: None,
        outliers: OUTLIERS,
        limits: UpstreamLimits::default(),
    }
}

fn pool(ports: &[u16]) -> Pool {
    Pool::new(&settings(ports), &ResolvedNames::default(), None)
}

fn ports(pool: &Pool, count: usize) -> Vec<u16> {
    (0..count).map(|_| pool.next(None).unwrap().address().port()).collect()
}

fn eject(pool: &Pool, port: u16) {
    let endpoint = pool.endpoints.iter().find(|endpoint| endpoint.address.port() == port).unwrap();
    for _ in 0..OUTLIERS.failures {
        endpoint.visit_anyway().failed();
    }
    assert!(endpoint.outlier_state.is_ejected());
}

#[test]
fn endpoints_are_taken_in_turn() {
    assert_eq!(ports(&pool(&[1, 2, 3]), 6), [1, 2, 3, 1, 2, 3]);
    assert!(pool(&[]).next(None).is_none());
}

#[test]
fn the_one_that_failed_is_not_asked_again() {
    let pool = pool(&[1, 2]);
    let failed = Some(([127, 0, 0, 1], 1).into());
    for _ in 0..4 {
        assert_eq!(pool.next(failed).unwrap().address().port(), 2);
    }
    assert!(Pool::new(&settings(&[1]), &ResolvedNames::default(), None).next(failed).is_none());
}

#[test]
fn an_ejected_endpoint_is_left_out_and_the_last_one_is_not() {
    let pool = pool(&[1, 2]);
    eject(&pool, 1);
    assert_eq!(ports(&pool, 3), [2, 2, 2]);
    eject(&pool, 2);
    assert_eq!(ports(&pool, 4).iter().filter(|port| **port == 1).count(), 2, "in turn, as if none was");
}

#[test]
fn checks_may_take_all_endpoints_out() {
    let mut settings = settings(&[1, 2]);
    settings.health_check = Some(HealthCheck::default());
    let pool = Pool::new(&settings, &ResolvedNames::default(), None);
    pool.endpoints[0].outlier_state.checked(false);
    assert_eq!(ports(&pool, 2), [2, 2]);
    pool.endpoints[1].outlier_state.checked(false);
    assert!(pool.next(None).is_none());
    pool.endpoints[1].outlier_state.checked(true);
    assert_eq!(ports(&pool, 2), [2, 2]);
}

/// An endpoint that is ejected is the last one where checks have taken out the others.
#[test]
fn an_ejected_endpoint_is_asked_before_one_that_fails_its_checks() {
    let mut settings = settings(&[1, 2]);
    settings.health_check = Some(HealthCheck::default());
    let pool = Pool::new(&settings, &ResolvedNames::default(), None);
    pool.endpoints[0].outlier_state.checked(false);
    eject(&pool, 2);
    assert_eq!(ports(&pool, 3), [2, 2, 2]);
}

#[test]
fn the_state_of_an_endpoint_outlives_a_reload() {
    let before = Upstreams::new(&[settings(&[1, 2])], &ResolvedNames::default(), None);
    eject(&before.by_name["operations"], 1);
    let after = Upstreams::new(&[settings(&[3, 1])], &ResolvedNames::default(), Some(&before));
    let healthy = |upstreams: &Upstreams| {
        upstreams.status().iter().map(|status| (status.address.port(), status.is_healthy)).collect::<Vec<_>>()
    };
    assert_eq!(healthy(&before), [(1, false), (2, true)]);
    assert_eq!(healthy(&after), [(3, true), (1, false)]);
    let mut renamed = settings(&[1]);
    renamed.name = "others".to_owned();
    assert_eq!(healthy(&Upstreams::new(&[renamed], &ResolvedNames::default(), Some(&before))), [(1, true)]);
}

#[test]
fn without_checks_what_they_said_is_void() {
    let mut checked = settings(&[1]);
    checked.health_check = Some(HealthCheck::default());
    let before = Upstreams::new(&[checked.clone()], &ResolvedNames::default(), None);
    before.by_name["operations"].endpoints[0].outlier_state.checked(false);
    assert!(before.by_name["operations"].next(None).is_none());
    let after = Upstreams::new(&[settings(&[1])], &ResolvedNames::default(), Some(&before));
    assert!(after.by_name["operations"].next(None).is_some());
    let on = Upstreams::new(&[checked.clone()], &ResolvedNames::default(), Some(&before));
    assert!(on.by_name["operations"].next(None).is_none());
    let on_again = Upstreams::new(&[checked], &ResolvedNames::default(), Some(&after));
    assert!(on_again.by_name["operations"].next(None).is_some());
}

#[tokio::test]
async fn requests_under_way_count_on_after_a_reload() {
    let mut small = settings(&[1]);
    small.limits = UpstreamLimits { requests: 1, pending: 1, pending_timeout: Duration::from_millis(1) };
    let before = Upstreams::new(&[small.clone()], &ResolvedNames::default(), None);
    let place = before.by_name["operations"].capacity.take().await.unwrap();
    let after = Upstreams::new(&[small.clone()], &ResolvedNames::default(), Some(&before));
    assert!(after.by_name["operations"].capacity.take().await.is_err());
    drop(place);
    let _place = after.by_name["operations"].capacity.take().await.unwrap();
    small.limits.requests = 2;
    let larger = Upstreams::new(&[small], &ResolvedNames::default(), Some(&after));
    larger.by_name["operations"].capacity.take().await.unwrap();
}

#[test]
fn connections_are_kept_over_a_reload_where_they_would_be_made_in_the_same_way() {
    let before = Upstreams::new(&[settings(&[1, 2])], &ResolvedNames::default(), None);
    let kept =
        |upstreams: &Upstreams, index: usize| upstreams.by_name["operations"].endpoints[index].kept.clone();
    let after = Upstreams::new(&[settings(&[3, 1])], &ResolvedNames::default(), Some(&before));
    assert!(Arc::ptr_eq(&kept(&before, 0), &kept(&after, 1)));
    let mut longer = settings(&[1]);
    longer.timeouts.idle += Duration::from_secs(1);
    assert!(!Arc::ptr_eq(
        &kept(&before, 0),
        &kept(&Upstreams::new(&[longer], &ResolvedNames::default(), Some(&before)), 0)
    ));
    let mut secured = settings(&[1]);
    let client = crate::tls::ClientTls::new("backend.test", Some(Vec::new()), None);
    secured.tls = Some(crate::tls::UpstreamTls { client, files: Vec::new() });
    let secured = Upstreams::new(&[secured], &ResolvedNames::default(), Some(&before));
    assert!(!Arc::ptr_eq(&kept(&before, 0), &kept(&secured, 0)));
}

fn named(ports: &[u16]) -> (UpstreamSettings, ResolvedNames) {
    let name: EndpointAddress = "backend.test:1".parse().unwrap();
    let mut names = ResolvedNames::default();
    let endpoint = |port: &u16| ResolvedEndpoint::plain(([127, 0, 0, 1], *port).into());
    names.learn(name.clone(), ports.iter().map(endpoint).collect());
    (UpstreamSettings { endpoints: vec![name], ..settings(&[]) }, names)
}

/// What is known of an endpoint, and its connections, outlive a change of its name.
#[test]
fn an_endpoint_that_stays_is_the_same_one_when_its_name_changes() {
    let (settings, names) = named(&[1, 2]);
    let before = Upstreams::new(&[settings], &names, None);
    assert!(before.with_names(&names).is_none(), "nothing has changed");
    eject(&before.by_name["operations"], 1);
    let (_, names) = named(&[1, 3]);
    let after = before.with_names(&names).unwrap();
    let [before, after] = [&before, &after].map(|upstreams| &upstreams.by_name["operations"]);
    assert!(Arc::ptr_eq(&before.endpoints[0], &after.endpoints[0]));
    assert!(Arc::ptr_eq(&before.capacity, &after.capacity));
    assert_eq!(ports(after, 3), [3, 3, 3], "the first is ejected still");
}

#[test]
fn endpoints_of_a_higher_priority_number_are_for_when_the_others_fail() {
    let (settings, mut names) = named(&[]);
    let endpoint = |port: u16, priority: u16| ResolvedEndpoint {
        priority,
        ..ResolvedEndpoint::plain(([127, 0, 0, 1], port).into())
    };
    names.learn(settings.endpoints[0].clone(), vec![endpoint(1, 20), endpoint(2, 10)]);
    let pool = Pool::new(&settings, &names, None);
    assert_eq!(ports(&pool, 3), [2, 2, 2]);
    assert_eq!(pool.next(Some(([127, 0, 0, 1], 2).into())).unwrap().address().port(), 1, "a second attempt");
    eject(&pool, 2);
    assert_eq!(ports(&pool, 3), [1, 1, 1]);
    eject(&pool, 1);
    assert_eq!(ports(&pool, 3), [2, 2, 2], "as if none was ejected");
}
