//! Random files never end the program, and whatever a file says comes out as
//! one plain command. The numbers come from a small generator with fixed seeds,
//! so that what fails fails again.

use super::*;

/// xorshift64: plain, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Pieces of configurations, right and wrong.
const PIECES: &[&str] = &[
    "name",
    "disk",
    "vif",
    "memory",
    "on_crash",
    "kernel",
    "x.y",
    "=",
    "+=",
    "[",
    "]",
    ",",
    ";",
    "\n",
    "\r\n",
    " ",
    "\t",
    "#",
    "'",
    "\"",
    "\\",
    "'web'",
    "\"a b\"",
    "512",
    "0x1f",
    "010",
    "9999999999999999999999",
    "'phy:vg0/web,xvda1,w'",
    "'/dev/vg0/web,raw,xvdb,ro'",
    "',hdc:cdrom,r'",
    "'vdev=xvda,target='",
    "'mac=00:16:3e:00:00:01,bridge=br0'",
    "'ip=10.0.0.2 ::1'",
    "'rate=1Mb/s@'",
    "import os",
    "\u{0}",
    "\u{1b}[2J",
    "ä",
    "\u{202e}",
    "\u{feff}",
    "'\\x41'",
    "'\\",
    "-",
    "(",
    "{",
    "'restart'",
    "'hvm'",
    "=''",
];

#[test]
fn pieces_in_any_order_never_panic() {
    let mut taken = 0;
    for seed in 1..=4000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let count = dice.below(40);
        let text: String = (0..count).map(|_| dice.pick(PIECES)).collect();
        check(text.as_bytes());
        // Most of the above ends at the first token. Here lines are right, but
        // what they say is not.
        let lines: String = (0..dice.below(12))
            .map(|_| {
                let (key, value) = (PIECES[dice.below(7)], dice.pick(&PIECES[21..36]));
                let value = if key == "disk" { format!("[{value}]") } else { value.to_owned() };
                format!("{key} = {value}\n")
            })
            .collect();
        taken += usize::from(check(lines.as_bytes()));
    }
    assert!(taken > 100, "only {taken} files made sense: the test tests nothing");
}

#[test]
fn bytes_in_any_order_never_panic() {
    for seed in 1..=2000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bytes: Vec<u8> = (0..dice.below(300)).map(|_| dice.below(256) as u8).collect();
        check(&bytes);
    }
}

/// A file that is right, cut off anywhere and with any byte changed.
#[test]
fn broken_files_never_panic() {
    let whole = examples::XLFS.as_bytes();
    for end in 0..whole.len() {
        check(&whole[..end]);
        for byte in [0, b'\n', b'\'', b'\\', b'[', b',', b'=', 0xff] {
            let mut other = whole.to_vec();
            other[end] = byte;
            check(&other);
        }
    }
}

/// Large files are read in reasonable time, and refused where they are too
/// large.
#[test]
fn large_files_are_read_or_refused() {
    for piece in ["[", "'", "\\", "a=1\n", "a+=['x',]\n", "a+='x'\n", "#", "a=[\n", "1,", "\n"] {
        check(piece.repeat(MAX_BYTES / piece.len()).as_bytes());
    }
    let spec = |inner: &str| format!("name='a'\ndisk=['{}']", inner.repeat(200_000 / inner.len()));
    for inner in [",", "tap:", "x=", "a,", "d1p", "cdrom,"] {
        check(spec(inner).as_bytes());
        check(spec(inner).replace("disk", "vif").as_bytes());
    }
}

/// Properties of any file. Answers whether it made sense.
fn check(bytes: &[u8]) -> bool {
    let lines = bytes.split(|byte| *byte == b'\n').count() as u32;
    if let Err(mistake) = parse(bytes) {
        let place = mistake.place;
        assert!((1..=lines).contains(&place.line) && place.column >= 1, "{place}: {mistake}");
        assert!(mistake.problem.len() < 400, "{mistake}");
    }
    match convert(bytes, Some("guest")) {
        Ok(mut guest) => {
            guest.bind("minimal", None);
            for finding in &guest.findings {
                assert!((1..=lines).contains(&finding.line), "{finding:?}");
            }
            for command in guest.images.iter().map(|step| step.command()) {
                let shown = crate::output::text::plain(&command);
                assert_eq!(shown, command, "what is shown is what is copied");
            }
            let words = request::words(&guest.definition);
            assert_eq!(words[..3], ["xlfsctl", "create", "guest"]);
            true
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for Mistake { place, problem } in mistakes {
                assert!((1..=lines).contains(&place.line), "{place}: {problem}");
                // A text of 4096 bytes may be in it, with each quote escaped.
                assert!(problem.len() < 9000, "{} bytes: {problem}", problem.len());
            }
            false
        }
    }
}
