//! Chunked bodies from a seed: good ones in every allowed spelling, and near misses of them.

/// Numbers that look random and are the same every time (SplitMix64).
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Bytes that readers often get wrong.
const PIECES: &[&str] = &[
    "\r\n",
    "\r",
    "\n",
    "\n\n",
    "\r\n\r\n",
    "0",
    "00",
    " ",
    "\t",
    ";",
    "=",
    "\"",
    "\\",
    ",",
    ":",
    "\0",
    "\x0b",
    "\x7f",
    "\u{e9}",
    "x",
    "g",
    "-",
    "+",
    "0x",
    ";a",
    ";a=",
    ";=b",
    ";;",
    "; ",
    " ;",
    "a=b",
    "\"\"",
    "\"\\",
    "2\r\n",
    "0\r\n",
    "0\r\n\r\n",
    "X y\r\n",
    " X: y\r\n",
    "X: y\r\n",
    ": y\r\n",
    "Host: a\r\n",
    "GET /evil HTTP/1.1\r\n",
    "ffffffffffffffff",
    "00000000000000000",
];

/// A body that carries `data`, in a spelling of its own.
pub fn good(data: &[u8], random: &mut Seeded) -> Vec<u8> {
    let mut body = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + random.below(rest.len().min(24)));
        line(piece.len(), &mut body, random);
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
        rest = behind;
    }
    line(0, &mut body, random);
    while random.once_in(4) {
        let name = random.pick(&["X", "x-checksum", "Server-Timing", "a.b_c~d", "Hosts"]);
        let value = random.pick(&["y", "", " y z\t", "\t", "a: b; c=\"\\\"", "\u{e9}"]);
        body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    body
}

/// The line of a chunk of `size` bytes.
fn line(size: usize, body: &mut Vec<u8>, random: &mut Seeded) {
    let digits = if random.once_in(2) { format!("{size:x}") } else { format!("{size:X}") };
    let zeros = if random.once_in(4) { random.below(17 - digits.len()) } else { 0 };
    body.extend(std::iter::repeat_n(b'0', zeros));
    body.extend_from_slice(digits.as_bytes());
    while random.once_in(3) {
        let blank = |random: &mut Seeded| random.pick(&["", "", "", " ", "\t", " \t "]);
        let (before, after) = (blank(random), blank(random));
        let name = random.pick(&["a", "chunk-signature", "0", "!#$%&'*+-.^_`|~"]);
        body.extend_from_slice(format!("{before};{after}{name}").as_bytes());
        if random.once_in(2) {
            let (before, after) = (blank(random), blank(random));
            let value = random.pick(&[
                "b",
                "0",
                "\"\"",
                "\"b c\"",
                "\"\\\"\"",
                "\"\\\\\"",
                "\";=\t0\"",
                "\"\u{e9}\"",
                "\"\\\u{e9}\"",
            ]);
            body.extend_from_slice(format!("{before}={after}{value}").as_bytes());
        }
    }
    body.extend_from_slice(b"\r\n");
}

/// Changes a body in one to three places.
pub fn mutate(body: &mut Vec<u8>, random: &mut Seeded) {
    for _ in 0..1 + random.below(3) {
        let at = random.below(body.len() + 1);
        let end = (at + 1 + random.below(4)).min(body.len());
        match random.below(8) {
            0 => body.truncate(at),
            1 => drop(body.drain(at..end)),
            2 | 3 => drop(body.splice(at..at, random.pick(PIECES).bytes())),
            4 => drop(body.splice(at..end, random.pick(PIECES).bytes())),
            5 => {
                let again: Vec<u8> = body[at..end].to_vec();
                drop(body.splice(at..at, again));
            }
            6 => {
                let byte = u8::try_from(random.below(256)).unwrap();
                drop(body.splice(at..at.max(end.min(at + 1)), [byte]));
            }
            // A line with another ending.
            _ => {
                let ends: Vec<usize> = body
                    .windows(2)
                    .enumerate()
                    .filter(|(_, two)| *two == b"\r\n")
                    .map(|(at, _)| at)
                    .collect();
                if !ends.is_empty() {
                    let at = ends[random.below(ends.len())];
                    let end = random.pick(&["\n", "\r", "", "\r\r\n", "\n\r", " \r\n", "\r\n "]);
                    drop(body.splice(at..at + 2, end.bytes()));
                }
            }
        }
    }
}
