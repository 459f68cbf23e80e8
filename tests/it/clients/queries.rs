//! Queries as clients write them.

use crate::harness::{Gate, Req, Setup, get, reason};
use crate::recorder::{Recorder, request_line};

/// Bytes that browsers leave raw in a query.
const RAW: [&str; 8] =
    ["filter[x]=1", "fields=a|b", "x={a}", "x=a^b", "x=`a`", "x=a\\b", "x='a'", "x=[{\\|}]^`"];

fn with_query(query: &str) -> Req {
    let request = get();
    Req { target: format!("{}?{query}", request.target), ..request }
}

#[tokio::test]
async fn a_semicolon_passes_where_neither_reading_changes_what_was_judged() {
    for protocol in ["h1", "h2c"] {
        let gate = Gate::start_with(Setup { upstream_protocol: Some(protocol), ..Setup::default() });
        for query in [
            // Java: the safe characters of its queries hold `;`.
            "$alt=json;enum-encoding%3Dint",
            "$alt=json;enum-encoding=int",
            "alt=json%3Benum-encoding%3Dint",
            "a=1;b=2;;c",
            ";",
        ] {
            for answer in gate.over_both(&with_query(query)).await {
                assert_eq!(answer.status, 200, "{query}");
            }
            for request in gate.backend.requests() {
                assert_eq!(request.target.split_once('?').unwrap().1, query, "over {protocol}");
            }
            gate.backend.clear();
        }
        for query in [
            "a=b;name=projects/other/locations/l/operations/o",
            "$alt=json;name=x",
            "a;name",
            "a=b;n%61me=x",
            "a=b;name.x=y",
            "a=b;access_token=x",
            "a=b;c=d;$ct=text/plain",
            ";callback=f",
            "a=1&amp;_method=DELETE",
            "a=1&amp;name=x",
        ] {
            for answer in gate.over_both(&with_query(query)).await {
                let outcome = (answer.status, reason(&answer));
                assert_eq!(outcome, (400, "QUERY_PARAMETER_REFUSED".to_owned()), "{query}");
            }
        }
        assert!(gate.backend.requests().is_empty());
    }
}

#[tokio::test]
async fn bytes_that_browsers_leave_raw_arrive_as_they_were_sent() {
    let backend = Recorder::start();
    let gate = Gate::start_with(Setup { endpoints: Some(vec![backend.address()]), ..Setup::default() });
    for query in RAW {
        let request = with_query(query);
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, 200, "{query}");
        }
        let lines: Vec<_> = backend.take().iter().map(|head| request_line(head).to_owned()).collect();
        let expected = format!("GET {} HTTP/1.1", request.target);
        assert_eq!(lines, [expected.clone(), expected], "{query}");
    }
    // Browsers encode these, and readers of a head repair them each in its own way.
    for byte in [" ", "\t", "\0", "\u{7f}", "\"", "<", ">", "\u{e9}", "#x"] {
        let answer = gate.http1(&with_query(&format!("x=a{byte}"))).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{byte:?}");
    }
    // Brackets do not hide a name.
    for query in ["[name]=x", "name[x]=1", "{name}=x", "|name|=x", "`name`=x", "[_method]=DELETE"] {
        for answer in gate.over_both(&with_query(query)).await {
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (400, "QUERY_PARAMETER_REFUSED".to_owned()), "{query}");
        }
    }
    assert!(backend.take().is_empty());

    let gate = Gate::start_with(Setup { upstream_protocol: Some("h2c"), ..Setup::default() });
    for query in RAW {
        let request = with_query(query);
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, 200, "{query}");
        }
        let targets: Vec<_> = gate.backend.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(targets, [request.target.clone(), request.target], "{query}");
        gate.backend.clear();
    }
}
