//! What a command prints: kept in the log, cut into steps, and watched for
//! silence.

use std::io::{self, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use super::{Job, SandboxError};
use crate::action::MARK;
use crate::durable::FileError;
use crate::store::StepTime;

/// Reads until the command ends, its deadline passes, or it is cancelled.
pub(super) async fn follow(
    mut child: Child,
    reader: PipeReader,
    job: &Job<'_>,
    cancel: &CancellationToken,
    mut on_step: impl FnMut(&str) + Send,
) -> Result<Vec<StepTime>, SandboxError> {
    let log_error = |source| SandboxError::Log(FileError::at("write", job.log)(source));
    let mut log = File::create(job.log).await.map_err(log_error)?;
    let mut pipe = Receiver::from_owned_fd(reader.into()).map_err(log_error)?;
    let mut steps = Steps::default();
    let mut buffer = vec![0; 1 << 16];
    let mut line = Vec::new();
    let ended = loop {
        tokio::select! {
            count = pipe.read(&mut buffer) => match count {
                Ok(0) => break None,
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    log.write_all(bytes).await.map_err(log_error)?;
                    steps.read(bytes, &mut line, &mut on_step);
                }
                Err(error) => return Err(log_error(error)),
            },
            () = tokio::time::sleep(job.deadline) => {
                let seconds = job.deadline.as_secs();
                break Some(SandboxError::Silent { step: steps.current(), seconds });
            }
            () = cancel.cancelled() => {
                break Some(SandboxError::Cancelled { step: steps.current() });
            }
        }
    };
    log.flush().await.map_err(log_error)?;
    if let Some(error) = ended {
        // The sandbox's first process dies with bubblewrap, and all others with it.
        child.kill().await.map_err(log_error)?;
        drain(&mut pipe, &mut buffer).await;
        return Err(error);
    }
    let status = child.wait().await.map_err(log_error)?;
    if status.success() {
        return Ok(steps.finish());
    }
    if steps.list.is_empty() {
        let message = tail(job.log, 5).join(" | ");
        return Err(SandboxError::Refused { message });
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    Err(SandboxError::Failed { step: steps.current(), how })
}

/// Waits until nobody can write any more: only then is the folder still.
async fn drain(pipe: &mut Receiver, buffer: &mut [u8]) {
    let read = async { while pipe.read(buffer).await.is_ok_and(|count| count > 0) {} };
    // The processes are dead already; this only bounds a surprise.
    let _ = tokio::time::timeout(Duration::from_secs(10), read).await;
}

#[derive(Default)]
struct Steps {
    list: Vec<StepTime>,
    since: Option<Instant>,
}

impl Steps {
    fn read(&mut self, bytes: &[u8], line: &mut Vec<u8>, on_step: &mut impl FnMut(&str)) {
        for byte in bytes {
            if *byte != b'\n' {
                // A mark is short; of other lines only the beginning matters.
                if line.len() < 64 {
                    line.push(*byte);
                }
                continue;
            }
            let text = String::from_utf8_lossy(line);
            if let Some(step) = text.strip_prefix(MARK) {
                self.close();
                self.list.push(StepTime { step: step.to_owned(), seconds: 0.0 });
                self.since = Some(Instant::now());
                on_step(step);
            }
            line.clear();
        }
    }

    fn close(&mut self) {
        if let (Some(last), Some(since)) = (self.list.last_mut(), self.since) {
            last.seconds = since.elapsed().as_secs_f64();
        }
    }

    fn current(&self) -> String {
        self.list.last().map_or("start", |it| it.step.as_str()).to_owned()
    }

    fn finish(mut self) -> Vec<StepTime> {
        self.close();
        self.list
    }
}

/// The last step that began, by a whole log.
pub(crate) fn last_step(log: &Path) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().find_map(|line| line.strip_prefix(MARK)).map(str::to_owned)
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path, count: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = std::fs::File::open(log)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(1 << 14)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(MARK)).collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().iter().map(|line| (*line).to_owned()).collect()
}
