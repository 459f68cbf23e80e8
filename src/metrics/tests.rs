//! What a scrape shows.

use std::collections::HashSet;
use std::time::Duration;

use super::*;

fn names() -> Names {
    Names {
        issuers: HashSet::from(["google".to_owned()]),
        services: HashSet::from(["a.example.com".to_owned()]),
        methods: HashSet::from([("a.example.com".to_owned(), "v1.Get".to_owned())]),
        ..Names::default()
    }
}

fn text(metrics: &Metrics, format: Exposition) -> String {
    let all = metrics.scrape(names).text(format, &[]);
    let is_ours = |line: &&str| !line.contains("process_") && !line.contains("opgate_build_info");
    all.lines().filter(is_ours).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_series_goes_with_its_name() {
    let metrics = Metrics::new().unwrap();
    let registry = metrics.registry();
    let keys = gauges(registry, "opgate_keys", "Keys.", &["issuer"]).unwrap();
    let requests = counters(registry, "opgate_r_total", "Requests.", &["service", "method", "code"]).unwrap();
    keys.with_label_values(&["google"]).set(2);
    keys.with_label_values(&["removed"]).set(1);
    for (service, method) in
        [("a.example.com", "v1.Get"), ("a.example.com", "v1.Gone"), ("gone", "v1.Get"), (UNKNOWN, UNKNOWN)]
    {
        requests.with_label_values(&[service, method, "200"]).inc();
    }
    insta::assert_snapshot!(text(&metrics, Exposition::Prometheus));
    text(&metrics, Exposition::Prometheus);
    // A name that comes back begins anew.
    let also = || Names { issuers: HashSet::from(["google".to_owned(), "removed".to_owned()]), ..names() };
    assert!(!metrics.scrape(also).text(Exposition::Prometheus, &[]).contains("removed"));
}

/// A reload makes the series of a method, and puts it in force a moment later: a scrape in between must not take them away
/// from those that count.
#[test]
fn a_series_that_is_made_before_its_name_is_there_is_not_lost() {
    let metrics = Metrics::new().unwrap();
    let requests =
        counters(metrics.registry(), "opgate_r_total", "Requests.", &["service", "method", "code"]).unwrap();
    let held = requests.with_label_values(&["a.example.com", "v1.New", "200"]);
    assert!(!text(&metrics, Exposition::Prometheus).contains("v1.New"));
    let also =
        || Names { methods: HashSet::from([("a.example.com".to_owned(), "v1.New".to_owned())]), ..names() };
    held.inc();
    let line = "opgate_r_total{code=\"200\",method=\"v1.New\",service=\"a.example.com\"} 1\n";
    assert!(metrics.scrape(also).text(Exposition::Prometheus, &[]).contains(line));
}

#[test]
fn both_formats_are_written_as_their_rules_say() {
    let metrics = Metrics::new().unwrap();
    let registry = metrics.registry();
    let asked = counter(registry, "opgate_asked_total", "Asked \"twice\"\\.").unwrap();
    asked.inc_by(3);
    let last = instants(registry, "opgate_last_seconds", "When.", &["issuer"]).unwrap();
    last.with_label_values(&["google"]).set(f64::NAN);
    let took = traced_histograms(registry, "opgate_took_seconds", "Took.", &["service"], &[5e-5, 0.5, 1.0]);
    let took = took.unwrap().with_label_values(&["a.example.com"]);
    took.observe(0.25, None::<(&str, SystemTime)>);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_125);
    took.observe(0.75, Some(("4bf92f3577b34da6a3ce929d0e0e4736", time)));
    took.observe(7.0, Some(("00f067aa0ba902b74bf92f3577b34da6", time)));
    counters(registry, "opgate_none_total", "None yet.", &["service"]).unwrap();
    let both = [Exposition::Prometheus, Exposition::OpenMetrics].map(|format| text(&metrics, format));
    insta::assert_snapshot!(both.join("-----\n"));
    let without = metrics.scrape(names).text(Exposition::Prometheus, &["opgate_asked_total"]);
    assert!(!without.contains("opgate_asked") && without.contains("opgate_last_seconds"));
}

#[test]
fn open_metrics_is_written_for_those_that_ask_for_it() {
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let open = [
        prometheus,
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; version=\"1.0.0\"; q=0.5, text/plain; q=0.5",
    ];
    let plain = [
        "",
        "*/*",
        "text/plain",
        "application/openmetrics-text; version=0.0.1",
        "application/openmetrics-text; q=0, */*",
        "application/openmetrics-text; q=0.1, text/plain",
        "application/openmetrics-text; q=much",
    ];
    for accept in open {
        assert_eq!(Exposition::asked_for([accept]), Exposition::OpenMetrics, "{accept}");
    }
    for accept in plain {
        assert_eq!(Exposition::asked_for([accept]), Exposition::Prometheus, "{accept}");
    }
    assert_eq!(Exposition::asked_for(["text/plain;q=0.1", open[1]]), Exposition::OpenMetrics);
}

#[test]
fn every_family_is_known_before_its_first_series() {
    let metrics = Metrics::new().unwrap();
    histograms(metrics.registry(), "opgate_b_seconds", "B.", &["x"], &[1.0]).unwrap();
    gauge(metrics.registry(), "opgate_a", "A.").unwrap();
    let families = metrics.registry().families();
    let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, ["opgate_a", "opgate_b_seconds", "opgate_build_info"]);
    assert_eq!((families[1].kind, &families[1].buckets), (FamilyKind::Histogram, &vec![1.0]));
    assert_eq!(families[1].labels, ["x"]);
}

/// 300 methods with all their series, each called with five outcomes.
#[test]
fn a_scrape_of_300_methods_is_less_than_a_mebibyte() {
    let metrics = Metrics::new().unwrap();
    let registry = metrics.registry();
    let labels = ["service", "method", "code", "reason"];
    let requests = counters(registry, "opgate_requests_total", "Requests.", &labels).unwrap();
    let buckets: Vec<f64> = (1..=15).map(|bound| f64::from(bound) / 1000.0).collect();
    let name = "opgate_request_duration_seconds";
    let took = traced_histograms(registry, name, "Took.", &["service", "method"], &buckets).unwrap();
    let service = "cloudaicompanion.googleapis.com";
    let mut methods = HashSet::new();
    for number in 0..300 {
        let method = format!("google.longrunning.Operations.Method{number:03}");
        for (code, reason) in [
            ("200", "ALLOWED"),
            ("404", "ALLOWED"),
            ("401", "CREDENTIALS_MISSING"),
            ("401", "ACCESS_TOKEN_EXPIRED"),
            ("403", "IAM_PERMISSION_DENIED"),
        ] {
            requests.with_label_values(&[service, &method, code, reason]).inc_by(123_456);
        }
        took.with_label_values(&[service, &method]).observe(0.0123, None::<(&str, SystemTime)>);
        methods.insert((service.to_owned(), method));
    }
    let names = Names { services: HashSet::from([service.to_owned()]), methods, ..Names::default() };
    for format in [Exposition::Prometheus, Exposition::OpenMetrics] {
        let began = std::time::Instant::now();
        let text = metrics.scrape(|| names.clone()).text(format, &[]);
        eprintln!("{format:?}: {} bytes in {:?}", text.len(), began.elapsed());
        assert_eq!(text.lines().filter(|line| line.contains(service)).count(), 300 * (5 + 18));
        assert!(text.len() < 1 << 20, "{}", text.len());
    }
}
