//! The floods, frame by frame.

use std::time::Duration;

use super::End;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, opening, text,
};
use crate::harness::{COMPANION, TRAIN, token};

const PROTOCOL_ERROR: u32 = 1;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// One flood.
pub struct Script {
    pub name: &'static str,
    /// Preface, settings, and frames that are sent once.
    pub opening: Vec<u8>,
    /// Frames that are sent again and again, made from their number.
    pub unit: Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
    /// How many times the unit is sent.
    pub units: u32,
    /// The pause after each unit.
    pub pause: Duration,
    /// How long to wait for an end after the last unit.
    pub patience: Duration,
    /// How many answers of each connection are cut because they are not taken: it stays until they are.
    pub not_taken: usize,
    /// How much more the gate may hold after it, in KiB.
    pub growth_kib: u64,
    /// The accepted ends.
    pub ends: &'static [End],
}

/// The end of a detected flood. A client that does not read its GOAWAY in time sees a closed connection.
const NOTICED: &[End] = &[End::GoAway(ENHANCE_YOUR_CALM), End::Closed];

fn script(
    name: &'static str,
    opening: Vec<u8>,
    units: u32,
    unit: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> Script {
    Script {
        name,
        opening,
        unit: Box::new(unit),
        units,
        pause: Duration::ZERO,
        patience: Duration::from_secs(10),
        not_taken: 0,
        growth_kib: 32 * 1024,
        ends: NOTICED,
    }
}

/// The end of a script that breaks a rule of the connection itself before it counts as a flood (RFC 9113, section
/// 5.4.1).
const BROKEN: &[End] = &[End::GoAway(PROTOCOL_ERROR), End::Closed];

/// The number of a unit's own stream.
fn stream(unit: u32) -> u32 {
    2 * unit + 1
}

/// The fields of a request that is allowed.
fn fields(method: &str, path: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    let authorization = format!("Bearer {}", token("ana@example.com"));
    let mut fields: Vec<(&str, &[u8])> = vec![
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        (":authority", COMPANION.as_bytes()),
        (":path", path.as_bytes()),
        ("authorization", authorization.as_bytes()),
    ];
    fields.extend(more);
    block(&fields)
}

fn cancel(more: &[(&str, &[u8])]) -> Vec<u8> {
    fields("POST", &format!("{TRAIN}:cancel"), more)
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn scripts() -> Vec<Script> {
    let plain = || opening(&[]);
    let open = cancel(&[]);
    let sized = cancel(&[("content-length", b"5")]);
    let heads = |flags: u8, block: &[u8]| {
        let block = block.to_vec();
        move |unit| frame(HEADERS, flags, stream(unit), &block)
    };
    let whole = heads(END_HEADERS | END_STREAM, &open);
    let begun = heads(END_HEADERS, &open);
    let begun_first = heads(END_HEADERS, &open);
    let begun_again = heads(END_HEADERS, &open);
    let begun_with_length = heads(END_HEADERS, &sized);
    let ended = heads(END_HEADERS | END_STREAM, &open);
    let unended = [plain(), frame(HEADERS, 0, 1, &open)].concat();
    let with_body = [plain(), frame(HEADERS, END_HEADERS, 1, &open)].concat();
    let many_trailers = [plain(), frame(HEADERS, END_HEADERS, 1, &open)].concat();

    vec![
        script("rapid reset", plain(), 5000, move |unit| [whole(unit), reset(stream(unit), CANCEL)].concat()),
        // Sent at the pace of real requests, so that the library has handed each on before it is reset.
        Script {
            pause: Duration::from_millis(1),
            ..script("rapid reset, one by one", plain(), 2000, move |unit| match unit % 2 {
                0 => begun(unit / 2),
                _ => reset(stream(unit / 2), CANCEL),
            })
        },
        Script {
            ends: BROKEN,
            ..script("MadeYouReset: an increment of 0", plain(), 5000, move |unit| {
                [begun_first(unit), frame(WINDOW_UPDATE, 0, stream(unit), &[0; 4])].concat()
            })
        },
        script("MadeYouReset: a window too large", plain(), 5000, move |unit| {
            [begun_again(unit), frame(WINDOW_UPDATE, 0, stream(unit), &[0x7f, 0xff, 0xff, 0xff])].concat()
        }),
        Script {
            ends: BROKEN,
            ..script("MadeYouReset: DATA after the end", plain(), 5000, move |unit| {
                [ended(unit), frame(DATA, END_STREAM, stream(unit), b"{}")].concat()
            })
        },
        script("MadeYouReset: a wrong length", plain(), 5000, move |unit| {
            [begun_with_length(unit), frame(DATA, END_STREAM, stream(unit), b"x")].concat()
        }),
        script("CONTINUATION", unended, 20_000, |_| frame(CONTINUATION, 0, 1, &[0; 1])),
        script("empty DATA", with_body, 20_000, |_| frame(DATA, 0, 1, &[])),
        Script {
            ends: BROKEN,
            ..script("trailers", many_trailers, 20_000, |_| {
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", b"y")]))
            })
        },
        script("SETTINGS", plain(), 20_000, |unit| {
            frame(SETTINGS, 0, 0, &[&[0, 3][..], &unit.to_be_bytes()].concat())
        }),
        script("PING", plain(), 20_000, |unit| {
            frame(PING, 0, 0, &[unit.to_be_bytes(), unit.to_be_bytes()].concat())
        }),
        script("PRIORITY", plain(), 20_000, |unit| frame(PRIORITY, 0, stream(unit), &[0, 0, 0, 0, 16])),
        script("WINDOW_UPDATE", plain(), 20_000, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        script("unknown frames", plain(), 20_000, |_| frame(0xbe, 0, 0, b"grease")),
        hpack_bomb(),
        Script {
            ends: &[End::GoAway(0), End::GoAway(ENHANCE_YOUR_CALM), End::Closed],
            ..script("GOAWAY", plain(), 20_000, |_| frame(GOAWAY, 0, 0, &[0; 8]))
        },
        zero_window(),
    ]
}

/// A large field enters the table once and is referred to again and again: one byte stands for four thousand.
fn hpack_bomb() -> Script {
    let mut first = cancel(&[]);
    // A literal with incremental indexing (RFC 7541, section 6.2.1).
    first.push(0x40);
    text(b"x-bomb", &mut first);
    text(&[b'x'; 3900], &mut first);
    let again = [cancel(&[]), vec![0x80 | 62; 8000]].concat();
    let mut opening = opening(&[]);
    opening.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &first));
    Script {
        // A request that is too large is answered; one that is far too large ends its connection.
        ends: NOTICED,
        ..script("HPACK bomb", opening, 500, move |unit| {
            frame(HEADERS, END_HEADERS | END_STREAM, stream(unit) + 2, &again)
        })
    }
}

/// Answers of many megabytes are requested, and taken five bytes at a time.
fn zero_window() -> Script {
    let get = fields("GET", TRAIN, &[]);
    let mut opening = opening(&[(4, 0)]);
    for unit in 0..100 {
        opening.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream(unit), &get));
    }
    for unit in 0..500 {
        opening.extend(frame(WINDOW_UPDATE, 0, stream(unit % 100), &[0, 0, 0, 5]));
    }
    Script {
        // The streams are cut one by one; the connection itself breaks no rule.
        ends: &[End::Survived],
        patience: Duration::from_secs(60),
        not_taken: 100,
        ..script("zero window", opening, 0, |_| Vec::new())
    }
}
