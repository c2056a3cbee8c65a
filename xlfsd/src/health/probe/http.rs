//! HTTP: a GET of a path. The answer is read as far as it takes; redirections
//! are not followed, for they could lead anywhere.

use std::net::IpAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Answer, Target, Wrong, broken, find, quote, read_more};
use crate::template::HealthCheck;

/// Bytes of an answer's head.
const MAX_HEAD: usize = 16 << 10;
/// Bytes of head and body together.
const MAX_ANSWER: usize = 64 << 10;

pub(super) async fn ask(
    mut stream: TcpStream,
    check: &HealthCheck,
    target: &Target,
) -> Result<(), Wrong> {
    let host = match target.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    // By HTTP/1.0 the body comes in one piece and ends with the connection.
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: xlfsd\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        check.path.as_deref().unwrap_or("/"),
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| broken(&error))?;
    let mut seen = Vec::new();
    let line = loop {
        if let Some(end) = find(&seen, b"\n", 0) {
            break end;
        }
        if !read_more(&mut stream, &mut seen, super::PIECE).await? {
            return Err(match seen.is_empty() {
                true => Answer::Bad("it closes the connection without an answer".into()),
                false => no_http(&seen),
            });
        }
    };
    let status = status(&seen[..line]).ok_or_else(|| no_http(&seen[..line]))?;
    if !(200..400).contains(&status) {
        return Err(Answer::Bad(format!("it answers with HTTP status {status}")));
    }
    let Some(expect) = check.expect.as_deref().map(str::as_bytes) else { return Ok(()) };
    let mut looked = line;
    let body = loop {
        if let Some(end) = find(&seen, b"\r\n\r\n", looked.saturating_sub(1)) {
            break end + 4;
        }
        looked = seen.len().saturating_sub(3).max(line);
        if !read_more(&mut stream, &mut seen, MAX_HEAD).await? {
            return Err(Answer::Bad("its answer has no end of its head".into()));
        }
    };
    // Only what is new is looked at: a body that comes byte by byte costs no more.
    let mut looked = body;
    loop {
        if find(&seen, expect, looked).is_some() {
            return Ok(());
        }
        looked = seen.len().saturating_sub(expect.len() - 1).max(body);
        if !read_more(&mut stream, &mut seen, MAX_ANSWER).await? {
            let whole = if seen.len() < MAX_ANSWER { "" } else { "the beginning of " };
            return Err(Answer::Bad(format!("{whole}its answer does not hold what is expected")));
        }
    }
}

fn no_http(seen: &[u8]) -> Wrong {
    Answer::Bad(format!("it does not speak HTTP: {}", quote(seen)))
}

/// `HTTP/1.1 200 OK`: 200.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let digits = rest.strip_prefix(b"0 ").or_else(|| rest.strip_prefix(b"1 "))?.get(..3)?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (100..600).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r"), Some(200));
        assert_eq!(status(b"HTTP/1.0 404"), Some(404));
        for bad in ["", "HTTP/1.1", "HTTP/2 200", "HTTP/1.1 20", "HTTP/1.1 999", "HTTP/1.1 +20"] {
            assert_eq!(status(bad.as_bytes()), None, "{bad}");
        }
    }
}
