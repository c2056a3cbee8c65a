//! What a build tells on the terminal: one line for what happens, and on a
//! terminal a last line with what runs.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use xlfs_builder::build::{Build, Event, Summary};

/// Shows a build to its end. The first interrupt cancels it.
pub(crate) async fn follow(build: Build) -> Summary {
    let mut reader = build.events().reader(0);
    let mut view = View { terminal: io::stdout().is_terminal(), ..View::default() };
    loop {
        tokio::select! {
            event = reader.next() => match event {
                Some(numbered) => view.show(&numbered.event),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => {
                view.line("cancelling: steps under way are ended, results are kept");
                build.cancel();
            }
        }
    }
    build.finished().await
}

#[derive(Default)]
struct View {
    terminal: bool,
    total: usize,
    done: usize,
    running: BTreeMap<String, (String, Instant)>,
}

impl View {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Begun { packages } => self.total = *packages,
            Event::Fetching { file } => self.line(&format!("fetch    {file}")),
            Event::Fetched { file, from } => self.line(&format!("fetched  {file} from {from}")),
            Event::Note { text } => self.line(&format!("note     {text}")),
            Event::Cached { .. } => self.done += 1,
            Event::Started { package, estimate } => {
                self.running.insert(package.clone(), ("start".to_owned(), Instant::now()));
                let about = estimate.map(|it| format!(" (last time {})", duration(it)));
                self.line(&format!("start    {package}{}", about.unwrap_or_default()));
            }
            Event::Step { package, step } => {
                if let Some((current, _)) = self.running.get_mut(package) {
                    current.clone_from(step);
                }
            }
            Event::Built { package, seconds, changed } => {
                self.done += 1;
                self.running.remove(package);
                let same = if *changed { "" } else { ", same result as before" };
                self.line(&format!("built    {package} in {}{same}", duration(*seconds)));
            }
            Event::Failed { package, step, reason, tail, .. } => {
                self.running.remove(package);
                self.line(&format!("FAILED   {package} ({step}): {reason}"));
                for line in tail {
                    self.line(&format!("  | {line}"));
                }
            }
            Event::Skipped { package, because } => {
                self.line(&format!("skipped  {package}: it needs {because}"));
            }
            Event::Image { image, cached, seconds } => {
                let how = if *cached { "is there already" } else { "composed" };
                self.line(&format!("image    {image} {how} ({})", duration(*seconds)));
            }
            Event::Finished { summary } => {
                let end = if summary.cancelled { "cancelled" } else { "done" };
                self.line(&format!(
                    "{end}: {} built, {} there already, {} failed, {} skipped in {}",
                    summary.built,
                    summary.cached,
                    summary.failed,
                    summary.skipped,
                    duration(summary.seconds)
                ));
            }
        }
        self.status();
    }

    fn line(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        println!("{clear}{text}");
    }

    fn status(&self) {
        if self.terminal && !self.running.is_empty() {
            let running: Vec<String> = self
                .running
                .iter()
                .map(|(name, (step, since))| {
                    format!("{name}: {step} {}", duration(since.elapsed().as_secs_f64()))
                })
                .collect();
            print!("\r\x1b[K[{}/{}] {}", self.done, self.total, running.join("  "));
            // A terminal that is gone is no reason to end the build.
            let _ = io::stdout().flush();
        }
    }
}

/// Seconds for people.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}
