use super::*;

#[test]
fn the_calendar_has_every_day_once() {
    let mut expected = days_before(-1, 1, 1);
    for year in -1..10_001_i64 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (month, length) in
            (1..).zip([31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
        {
            assert_eq!(days_before(year, month, 1), expected);
            assert_eq!(civil(expected), (year, month, 1));
            assert_eq!(civil(expected + length - 1), (year, month, length));
            expected += length;
        }
    }
    assert_eq!(civil(0), (1970, 1, 1));
}

#[test]
fn times_are_read_as_rfc_3339_writes_them_and_in_no_other_way() {
    for good in [
        "2030-01-31T09:30:00Z",
        "2030-01-31T09:30:00.1Z",
        "2030-01-31T09:30:00.123456789Z",
        "2030-01-31T09:30:00+01:00",
        "2030-01-31T09:30:00.5-23:59",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "2024-02-29T00:00:00Z",
    ] {
        assert!(parse_time(good).is_some(), "{good}");
    }
    for bad in [
        "",
        "2030-01-31",
        "2030-01-31T09:30:00",
        "2030-01-31T09:30Z",
        "2030-01-31t09:30:00z",
        "2030-01-31 09:30:00Z",
        "2030-01-31T09:30:00.Z",
        "2030-01-31T09:30:00.1234567890Z",
        "2030-01-31T09:30:00,5Z",
        "2030-01-31T24:00:00Z",
        "2030-01-31T09:60:00Z",
        "2030-01-31T09:30:60Z",
        "2030-02-30T09:30:00Z",
        "2023-02-29T09:30:00Z",
        "2030-00-31T09:30:00Z",
        "2030-13-31T09:30:00Z",
        "2030-01-00T09:30:00Z",
        "+030-01-31T09:30:00Z",
        "2030-01-31T09:30:00+24:00",
        "2030-01-31T09:30:00+0100",
        "2030-01-31T09:30:0001:00",
        "2030-01-31T09:30:00Z ",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "2030-01-31T09:30:00Zü",
        "2030-01-3üT09:30:00Z",
    ] {
        assert_eq!(parse_time(bad), None, "{bad}");
    }
    assert_eq!(parse_date("2030-01-31"), parse_time("2030-01-31T00:00:00Z"));
    for bad in ["2030-1-31", "2030-02-29", "30-01-01", "2030-01-31Z", ""] {
        assert_eq!(parse_date(bad), None, "{bad}");
    }
}

#[test]
fn durations_are_read_with_their_units() {
    let seconds = |text: &str| parse_duration(text).map(|duration| duration.total() as f64 / 1e9);
    assert_eq!(seconds("3600s"), Some(3600.0));
    assert_eq!(seconds("1h30m"), Some(5400.0));
    assert_eq!(seconds("-1.5h"), Some(-5400.0));
    assert_eq!(seconds("1m1ms1us1ns"), Some(60.001_001_001));
    assert_eq!(seconds(".5s"), Some(0.5));
    assert_eq!(seconds("1.s"), Some(1.0));
    assert_eq!(seconds("0"), Some(0.0));
    // 64 bits of nanoseconds, to the last one.
    assert_eq!(
        parse_duration("9223372036.854775807s").map(|duration| duration.total()),
        Some(i64::MAX.into())
    );
    assert_eq!(
        parse_duration("-9223372036.854775808s").map(|duration| duration.total()),
        Some(i64::MIN.into())
    );
    for bad in [
        "",
        "-",
        "s",
        ".s",
        "1",
        "1d",
        "1 s",
        "1s ",
        "--1s",
        "1s-1s",
        "9223372036.854775808s",
        "-9223372036.854775809s",
        "2562048h",
        "1e3s",
        "9999999999999999999s",
    ] {
        assert_eq!(parse_duration(bad), None, "{bad}");
    }
}

#[test]
fn zones_are_names_of_the_bundled_database_or_offsets() {
    for good in ["UTC", "Europe/Berlin", "US/Central", "Etc/GMT+5", "+01:00", "-08:30", "02:00", "-00:00"] {
        assert!(Zone::parse(good).is_some(), "{good}");
    }
    for bad in [
        "",
        "europe/berlin",
        "Europe/Bern",
        "CET-1",
        "../UTC",
        "+24:00",
        "+1:00",
        "+01:60",
        "+01",
        "Z",
        "01:00:00",
    ] {
        assert!(Zone::parse(bad).is_none(), "{bad}");
    }
    let at = |text: &str, zone: &str| {
        part_of_time(TimePart::Hours, parse_time(text).unwrap(), &Zone::parse(zone).unwrap())
    };
    // Summer time begins and ends.
    assert_eq!(at("2024-03-31T00:59:59Z", "Europe/Berlin"), 1);
    assert_eq!(at("2024-03-31T01:00:00Z", "Europe/Berlin"), 3);
    assert_eq!(at("2024-10-27T00:59:59Z", "Europe/Berlin"), 2);
    assert_eq!(at("2024-10-27T01:00:00Z", "Europe/Berlin"), 2);
    assert_eq!(at("2024-07-01T12:00:00Z", "-08:30"), 3);
    assert_eq!(at("2500-07-01T12:00:00Z", "Europe/Berlin"), 14);
}
