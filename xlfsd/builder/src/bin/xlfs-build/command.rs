//! What each command does.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use xlfs_builder::build::{Builder, Config, Request, ShellRequest, Standing, Verified};
use xlfs_builder::recipe::RecipeSet;
use xlfs_builder::recipe::check::RecipeError;
use xlfs_builder::recipe::locate::locate;
use xlfs_builder::tree::Node;
use xlfs_builder::{image, timeline, with_causes};

use crate::{Away, Command, What, Where, progress, shell};

/// Whether all is well, or why the command could not do its work.
type Done = Result<bool, Box<dyn Error>>;

pub(crate) async fn run(command: Command) -> Done {
    match command {
        Command::Check { at } => check(&at),
        Command::Plan { at, what } => plan(&at, &what),
        Command::Build { at, what, away, output } => {
            build(&at, &what, &away, output.as_deref()).await
        }
        Command::Fetch { at, what } => fetch(&at, &what),
        Command::Why { at, what } => why(&at, &what),
        Command::Log { at, package, step, toolchain } => {
            log(&at, &package, step.as_deref(), toolchain.as_deref())
        }
        Command::Files { at, package, toolchain } => files(&at, &package, toolchain.as_deref()),
        Command::Graph { at, output } => graph(&at, output.as_deref()),
        Command::Verify { at, what } => verify(&at, &what).await,
        Command::Shell { at, package, step, toolchain, check } => {
            let builder = Builder::open(&at.config())?;
            shell::run(&builder, &ShellRequest { package, toolchain, check, step }).await
        }
        Command::Gc { at } => gc(&at),
    }
}

fn check(at: &Where) -> Done {
    let set = RecipeSet::load(&at.recipes)?;
    for error in set.problems.values().flatten() {
        let (text, place) = (with_causes(error), locate(&set, error));
        match place.and_then(|place| Some((place.path, place.at?))) {
            // Mistakes of the format name their place themselves.
            Some((path, (line, column))) if !matches!(error, RecipeError::Text(_)) => {
                eprintln!("xlfs-build: {}:{line}:{column}: {text}", path.display());
            }
            _ => eprintln!("xlfs-build: {text}"),
        }
    }
    let count = set.problems.values().map(Vec::len).sum::<usize>();
    println!("{} packages, {} images, {count} mistakes", set.packages.len(), set.images.len());
    Ok(count == 0)
}

fn request(builder: &Builder, what: &What) -> Request {
    let mut request = what.request();
    if request.targets.is_empty() {
        let set = builder.set();
        request.targets = match set.images.is_empty() {
            true => set.packages.keys().cloned().collect(),
            false => set.images.keys().cloned().collect(),
        };
    }
    request
}

fn plan(at: &Where, what: &What) -> Done {
    let builder = Builder::open(&at.config())?;
    let plan = builder.plan(&request(&builder, what))?;
    let mut cached = 0;
    for planned in &plan.packages {
        let time = planned.seconds.map(progress::duration).unwrap_or_else(|| "?".to_owned());
        let name = format!("{} {}", planned.package, planned.version);
        match &planned.standing {
            Standing::Cached => cached += 1,
            Standing::Build(reasons) => {
                println!("build    {name:32} {time:>9}  {}", reasons.join(", "));
            }
            Standing::Perhaps(because) => {
                println!("perhaps  {name:32} {time:>9}  if {} changes", because.join(" or "));
            }
        }
    }
    println!(
        "{} packages, {cached} there already; about {}{}",
        plan.packages.len(),
        progress::duration(plan.estimate),
        match plan.guessed {
            0 => String::new(),
            count => format!(" ({count} never built: guessed)"),
        }
    );
    for missing in &plan.missing_inputs {
        let input = &missing.input;
        println!("missing  {} takes {input} from you: add --input {input}=FILE", missing.image);
    }
    Ok(plan.missing_inputs.is_empty())
}

async fn build(at: &Where, what: &What, away: &Away, output: Option<&Path>) -> Done {
    let builder = Builder::open(&Config { remote: away.config(), ..at.config() })?;
    let request = request(&builder, what);
    let targets = request.targets.clone();
    let build = builder.start(request)?;
    let summary = progress::follow(build).await;
    if let Some(folder) = output {
        if !summary.succeeded() {
            // What the store has of these images is of an earlier build.
            eprintln!("xlfs-build: nothing is copied to {}: it is not all built", folder.display());
            return Ok(false);
        }
        let set = builder.set();
        for name in targets.iter().filter(|name| set.images.contains_key(*name)) {
            if let Some(record) = builder.store().image(&set.file.name, name)? {
                for path in image::export(builder.store(), &record, &folder.join(name))? {
                    println!("{}", path.display());
                }
            }
        }
    }
    Ok(summary.succeeded())
}

fn fetch(at: &Where, what: &What) -> Done {
    let builder = Builder::open(&at.config())?;
    let plan = builder.plan(&request(&builder, what))?;
    let set = builder.set();
    let wanted: BTreeSet<&String> = plan
        .packages
        .iter()
        .filter_map(|planned| set.packages.get(&planned.package))
        .flat_map(|package| package.source.iter().map(|source| &source.file))
        .collect();
    let mut fine = true;
    for source in wanted.into_iter().filter_map(|file| set.sources.get(file)) {
        match builder.fetcher().fetch(source, &|note| println!("note     {note}")) {
            Ok(from) => println!("there    {} (from {from})", source.file),
            Err(error) => {
                fine = false;
                eprintln!("xlfs-build: {}", with_causes(&error));
            }
        }
    }
    Ok(fine)
}

fn why(at: &Where, what: &What) -> Done {
    let builder = Builder::open(&at.config())?;
    let plan = builder.plan(&request(&builder, what))?;
    for planned in &plan.packages {
        if !what.targets.is_empty() && !what.targets.contains(&planned.package) {
            continue;
        }
        let name = &planned.package;
        match &planned.standing {
            Standing::Cached => println!("{name}: its result is there; nothing changed"),
            Standing::Build(reasons) => {
                println!("{name}: would be built:");
                for reason in reasons {
                    println!("  {reason}");
                }
            }
            Standing::Perhaps(because) => {
                println!("{name}: would be built if a result of these changes:");
                println!("  {}", because.join(", "));
            }
        }
        if let Some(failure) = builder.store().failure(&builder.set().file.name, name)? {
            println!("  failed last time in step {}: {}", failure.step, failure.reason);
        }
    }
    Ok(true)
}

fn log(at: &Where, package: &str, step: Option<&str>, toolchain: Option<&str>) -> Done {
    let builder = Builder::open(&at.config())?;
    let set = &builder.set().file;
    // A failure is kept only as long as nothing newer was built.
    let digest = match builder.store().failure(&set.name, package)? {
        Some(failure) => failure.log,
        None => record(&builder, package, toolchain)?.log,
    };
    let text = builder.store().read_blob(&digest)?;
    let text = String::from_utf8_lossy(&text);
    let mut out = io::stdout().lock();
    let mut current = "";
    let mut shown = step.is_none();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('\u{1e}') {
            current = name;
            shown |= step == Some(name);
            if step.is_none() || step == Some(name) {
                writeln!(out, "=== {name}")?;
            }
        } else if step.is_none() || step == Some(current) {
            writeln!(out, "{line}")?;
        }
    }
    if !shown {
        return Err(
            format!("{package} has no step {:?} in its log", step.unwrap_or_default()).into()
        );
    }
    Ok(true)
}

fn files(at: &Where, package: &str, toolchain: Option<&str>) -> Done {
    let builder = Builder::open(&at.config())?;
    let record = record(&builder, package, toolchain)?;
    let mut out = io::stdout().lock();
    for (output, root) in &record.outputs {
        for (path, node) in builder.store().read_tree(root)?.iter() {
            match node {
                Node::Folder(_) => {}
                Node::Link { target } => {
                    writeln!(out, "{output:8} {:>10} /{path} -> {target}", "")?
                }
                Node::File { digest, .. } => {
                    writeln!(out, "{output:8} {:>10} /{path}", digest.size)?;
                }
            }
        }
    }
    Ok(true)
}

fn record(
    builder: &Builder,
    package: &str,
    toolchain: Option<&str>,
) -> Result<xlfs_builder::store::Record, Box<dyn Error>> {
    let set = builder.set();
    let default = toolchain.unwrap_or(&set.file.toolchain);
    let own = set.packages.get(package).and_then(|it| it.toolchain.as_deref());
    let of = format!("{package}@{}", own.unwrap_or(default));
    let record = builder.store().latest(&set.file.name, &of)?;
    record.ok_or_else(|| format!("{package} was never built with this toolchain").into())
}

fn graph(at: &Where, output: Option<&Path>) -> Done {
    let builder = Builder::open(&at.config())?;
    let history = builder.store().history(&builder.set().file.name)?;
    let history = history.ok_or("no build of this set has come to its end yet")?;
    let picture = timeline::svg(&history);
    match output {
        Some(path) => std::fs::write(path, picture)?,
        None => io::stdout().lock().write_all(picture.as_bytes())?,
    }
    Ok(true)
}

async fn verify(at: &Where, what: &What) -> Done {
    let builder = Builder::open(&at.config())?;
    let (count, bad) = builder.store().verify_blobs()?;
    println!("{count} blobs read, {} of them damaged (put aside)", bad.len());
    let mut fine = bad.is_empty();
    let request = what.request();
    if !request.targets.is_empty() {
        let told = |verified: &Verified| {
            println!("{}: again, {} differences", verified.package, verified.differences.len());
            for one in &verified.differences {
                println!("  {}: /{} {}", one.output, one.path, one.how);
            }
        };
        let all = builder.verify_each(&request, told).await?;
        fine &= all.iter().all(|verified| verified.differences.is_empty());
    }
    Ok(fine)
}

fn gc(at: &Where) -> Done {
    let done = Builder::open(&at.config())?.collect(false)?;
    println!(
        "removed {} results and {} blobs ({} MiB); {} blobs stay",
        done.results,
        done.blobs,
        done.bytes >> 20,
        done.kept
    );
    Ok(true)
}
