//! SMTP and IMAP: the server speaks first.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Answer, Wrong, find, quote, read_more};
use crate::template::HealthCheck;

/// Bytes of a greeting, all its lines together.
const MAX_GREETING: usize = 8 << 10;

/// Lines of `220-...`, and a last one of `220 ...` (RFC 5321, 4.2).
pub(super) async fn smtp(stream: TcpStream, check: &HealthCheck) -> Result<(), Wrong> {
    let good = |line: &[u8]| match line {
        b"220" | [b'2', b'2', b'0', b' ', ..] => Some(Line::Last),
        [b'2', b'2', b'0', b'-', ..] => Some(Line::More),
        _ => None,
    };
    greeting(stream, check, good, b"QUIT\r\n").await
}

/// One line of `* OK ...` (RFC 9051, 7.1).
pub(super) async fn imap(stream: TcpStream, check: &HealthCheck) -> Result<(), Wrong> {
    let good = |line: &[u8]| {
        let ok = line.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"* OK"));
        ok.then_some(Line::Last)
    };
    greeting(stream, check, good, b"a LOGOUT\r\n").await
}

enum Line {
    Last,
    More,
}

async fn greeting(
    mut stream: TcpStream,
    check: &HealthCheck,
    good: impl Fn(&[u8]) -> Option<Line>,
    leave: &[u8],
) -> Result<(), Wrong> {
    let mut seen = Vec::new();
    let (mut from, mut looked) = (0, 0);
    loop {
        let Some(end) = find(&seen, b"\n", looked) else {
            looked = seen.len();
            if !read_more(&mut stream, &mut seen, MAX_GREETING).await? {
                return Err(Answer::Bad(match seen.is_empty() {
                    true => "it closes the connection without a greeting".into(),
                    false => format!("its greeting has no end: {}", quote(&seen)),
                }));
            }
            continue;
        };
        let line = seen[from..end].trim_ascii_end();
        match good(line) {
            Some(Line::More) => (from, looked) = (end + 1, end + 1),
            Some(Line::Last) => break,
            None => return Err(Answer::Bad(format!("it greets with {}", quote(line)))),
        }
    }
    // Whoever leaves without a word is logged as a lost connection. There is
    // room in the socket for a few bytes; nothing is waited for.
    let _ = stream.write_all(leave).await;
    match check.expect.as_deref() {
        Some(expect) if find(&seen, expect.as_bytes(), 0).is_none() => Err(Answer::Bad(format!(
            "its greeting does not hold what is expected: {}",
            quote(&seen)
        ))),
        _ => Ok(()),
    }
}
