//! The picture of a build: a bar for each package over time, the critical path
//! marked, as an SVG file.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::build::{Event, History};

#[derive(Debug, Clone, Default)]
struct Bar {
    start: u64,
    end: u64,
    steps: Vec<(u64, String)>,
    failed: bool,
}

/// Draws a build. Packages whose results were there take no time and are left out.
pub fn svg(history: &History) -> String {
    let bars = bars(history);
    let critical = critical_path(history, &bars);
    let begin = bars.values().map(|bar| bar.start).min().unwrap_or_default();
    let end = bars.values().map(|bar| bar.end).max().unwrap_or_default();
    let span = (end - begin).max(1);
    let x = |time: u64| LEFT + (time.saturating_sub(begin)) as f64 * WIDTH / span as f64;
    let mut order: Vec<(&String, &Bar)> = bars.iter().collect();
    order.sort_by_key(|(_, bar)| (bar.start, bar.end));
    let height = TOP + ROW * order.len() as f64 + 30.0;
    let mut out = String::new();
    let total = LEFT + WIDTH + 120.0;
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{} packages in {}; critical path (dark): {}</text>",
        order.len(),
        duration(span),
        escaped(&critical.join(" → ")),
    );
    for tick in 0..=10_u64 {
        let time = begin + span * tick / 10;
        let (at, label) = (x(time), duration(span * tick / 10));
        let bottom = height - 20.0;
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{label}</text>",
            height - 6.0
        );
    }
    for (row, (name, bar)) in order.iter().enumerate() {
        draw(&mut out, name, bar, row, &x, critical.contains(*name));
    }
    out.push_str("</svg>\n");
    out
}

const LEFT: f64 = 160.0;
const WIDTH: f64 = 900.0;
const TOP: f64 = 30.0;
const ROW: f64 = 18.0;

fn draw(
    out: &mut String,
    name: &str,
    bar: &Bar,
    row: usize,
    x: &impl Fn(u64) -> f64,
    critical: bool,
) {
    let y = TOP + ROW * row as f64;
    let colour = match (bar.failed, critical) {
        (true, _) => "#c0392b",
        (false, true) => "#1f4e79",
        (false, false) => "#8fb3d9",
    };
    let (from, width) = (x(bar.start), (x(bar.end) - x(bar.start)).max(1.0));
    let steps: Vec<String> = bar
        .steps
        .iter()
        .enumerate()
        .map(|(at, (start, step))| {
            let end = bar.steps.get(at + 1).map_or(bar.end, |(next, _)| *next);
            format!("{step} {}", duration(end.saturating_sub(*start)))
        })
        .collect();
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"13\" fill=\"{colour}\">\
         <title>{}: {} ({})</title></rect>\
         <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#444\">{}</text>",
        LEFT - 6.0,
        y + 12.0,
        escaped(name),
        y + 2.0,
        escaped(name),
        duration(bar.end - bar.start),
        escaped(&steps.join(", ")),
        from + width + 4.0,
        y + 12.0,
        duration(bar.end - bar.start),
    );
}

fn bars(history: &History) -> BTreeMap<String, Bar> {
    let mut bars: BTreeMap<String, Bar> = BTreeMap::new();
    for numbered in &history.events {
        let time = numbered.time;
        match &numbered.event {
            Event::Started { package, .. } => {
                bars.insert(package.clone(), Bar { start: time, end: time, ..Bar::default() });
            }
            Event::Step { package, step } => {
                if let Some(bar) = bars.get_mut(package) {
                    bar.steps.push((time, step.clone()));
                }
            }
            Event::Built { package, .. } | Event::Failed { package, .. } => {
                if let Some(bar) = bars.get_mut(package) {
                    bar.end = time;
                    bar.failed = matches!(numbered.event, Event::Failed { .. });
                }
            }
            _ => {}
        }
    }
    bars
}

/// From the package that ended last backwards, each time over the one before it
/// that ended last: what would have had to be faster.
fn critical_path(history: &History, bars: &BTreeMap<String, Bar>) -> Vec<String> {
    let mut path = Vec::new();
    let mut at = bars.iter().max_by_key(|(_, bar)| bar.end).map(|(name, _)| name.clone());
    while let Some(name) = at {
        let before = history.after.get(&name).into_iter().flatten();
        let known = before.filter_map(|it| Some((bars.get(it)?.end, it)));
        let next = known.max().map(|(_, it)| it.clone());
        path.push(name);
        // A package comes after others than itself, so this ends.
        at = next.filter(|it| !path.contains(it));
    }
    path.reverse();
    path
}

/// Milliseconds for people.
fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Numbered;

    fn history() -> History {
        let started =
            |package: &str| Event::Started { package: package.to_owned(), estimate: None };
        let built = |package: &str| Event::Built {
            package: package.to_owned(),
            seconds: 1.0,
            changed: true,
        };
        let events = [
            (0, started("a")),
            (0, started("b")),
            (1000, built("b")),
            (5000, built("a")),
            (5000, started("c")),
            (70_000, built("c")),
        ];
        let events = events.into_iter().enumerate();
        let events =
            events.map(|(number, (time, event))| Numbered { number, time, event }).collect();
        let after = [("c".to_owned(), ["a".to_owned(), "b".to_owned()].into())].into();
        History { events, after }
    }

    #[test]
    fn the_critical_path_is_what_would_have_had_to_be_faster() {
        let history = history();
        assert_eq!(critical_path(&history, &bars(&history)), ["a", "c"]);
        let picture = svg(&history);
        assert!(picture.contains("3 packages in 1:10 min"), "{picture}");
        assert_eq!(picture.matches("#1f4e79").count(), 2);
        assert!(svg(&History::default()).starts_with("<svg"));
    }
}
