//! Request heads: a head that passes is a request that can be read in one way only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opgate::http::{ConnectionPeer, Request, TrustedProxies};
use opgate::http::head::{RawHead, HeadLimits, find_end};

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = find_end(bytes, 0) else { return };
    let Ok(head) = RawHead::parse(&bytes[..end], HeadLimits::default()) else { return };
    let target = head.target.clone();
    for (name, value) in head.headers.iter() {
        assert!(!name.as_str().contains([' ', ':', '\r', '\n']));
        assert!(!value.as_bytes().contains(&b'\n') && !value.as_bytes().contains(&b'\r'));
    }
    let Ok(request) = Request::from_head(head, ConnectionPeer::Unknown, &TrustedProxies::default()) else { return };
    let path = request.path.as_str();
    // The judged head is the one that was sent, to the byte.
    assert!(target.contains(path), "{target:?} became {path:?}");
    assert!(path.starts_with('/') && path.is_ascii());
    let segments: Vec<&str> = path[1..].split('/').collect();
    assert!(path == "/" || segments.iter().all(|segment| !matches!(*segment, "" | "." | "..")));
});
