//! `recipe`: what builds follow.

use clap::{Args, Subcommand};
use xlfs_proto::v1::{
    CheckRecipesRequest, GetRecipeRequest, ListRecipesRequest, NewRecipeRequest, Recipe as Whole,
    RecipeKind, RecipeMistake, RecipeSet,
};

use super::{Session, answer};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::facts::Facts;
use crate::output::table::{Align, Cell, Colour, Table};
use crate::output::text::plain;
use crate::output::view::recipe::{
    CheckView, NewRecipeView, RecipeSetView, RecipeSetsView, RecipeView, kind_word,
};
use crate::output::{Output, to_stderr};

/// Recipes: list, show, check, new.
#[derive(Debug, Subcommand)]
pub(crate) enum Recipe {
    List(List),
    Show(Show),
    Check(Check),
    New(New),
}

/// List the packages and images of a release set, or the sets.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
    /// List the sets of this host instead, with their toolchains.
    #[arg(long, conflicts_with = "set")]
    sets: bool,
}

/// Show a recipe: what it is for, what it needs, who needs it.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The package or image.
    #[arg(add = complete::targets())]
    name: String,
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
    /// Print the file as it is.
    #[arg(long)]
    text: bool,
}

/// Tell every mistake of a release set, with its file, line and column.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
}

/// Begin a recipe: write a commented skeleton into the folder of the set.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// Its name: lower-case letters, digits, "+", "-", "." and "_".
    name: String,
    /// Begin the recipe of an image.
    #[arg(long)]
    image: bool,
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
    /// Print it to standard output, and write nothing.
    #[arg(long, visible_alias = "dry-run")]
    print: bool,
}

impl Recipe {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Recipe::List(args) => list(session, args).await,
            Recipe::Show(args) => show(session, args).await,
            Recipe::Check(args) => check(session, args).await,
            Recipe::New(args) => new(session, args).await,
        }
    }
}

async fn list(session: &Session, args: List) -> Result<Exit, Failure> {
    let output = &session.output;
    let mut service = session.daemon().await?.recipes();
    let request = ListRecipesRequest { set: args.set.unwrap_or_default(), sets: args.sets };
    let call = service.list_recipes(request);
    let sets = answer(call).await.context(|| "cannot list the recipes".to_owned())?.sets;
    if !output.is_table() {
        match (args.sets, sets.first()) {
            (false, Some(set)) => output.document(&RecipeSetView::from(set))?,
            _ => {
                let sets = sets.iter().map(RecipeSetView::from).collect();
                output.document(&RecipeSetsView { sets })?;
            }
        }
        return Ok(Exit::Ok);
    }
    let problems = sets.iter().filter(|set| !set.problem.is_empty());
    for set in problems {
        to_stderr(&plain(&format!("xlfsctl: set {}: {}", set.name, set.problem)));
        to_stderr("\n");
    }
    let names = |set: &RecipeSet| match args.sets {
        true => vec![set.name.clone()],
        false => set.recipes.iter().map(|it| it.name.clone()).collect(),
    };
    if output.quiet {
        let names = sets.iter().flat_map(names).map(|name| plain(&name) + "\n");
        output.text(&names.collect::<String>())?;
    } else if args.sets {
        output.text(&table_of_sets(&sets, output))?;
    } else if let Some(set) = sets.first() {
        output.text(&table(set, output))?;
    }
    Ok(Exit::Ok)
}

fn table_of_sets(sets: &[RecipeSet], output: &Output) -> String {
    let mut table = Table::new(&[
        ("SET", Align::Left),
        ("TOOLCHAIN", Align::Left),
        ("", Align::Left),
        ("SUMMARY", Align::Elastic),
    ]);
    for set in sets {
        let name = if set.default { format!("{} *", set.name) } else { set.name.clone() };
        table.row([name.into(), "".into(), "".into(), set.summary.as_str().into()]);
        for toolchain in &set.toolchains {
            let star = if toolchain.default { " *" } else { "" };
            let of_host = if toolchain.of_host { "of the host" } else { "" };
            table.row([
                "".into(),
                format!("{}{star}", toolchain.name).into(),
                of_host.into(),
                toolchain.summary.as_str().into(),
            ]);
        }
    }
    table.render(output.width, output.colour)
}

fn table(set: &RecipeSet, output: &Output) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("KIND", Align::Left),
        ("VERSION", Align::Elastic),
        ("SUMMARY", Align::Elastic),
    ]);
    for recipe in &set.recipes {
        let summary = match recipe.mistakes {
            0 => Cell::from(recipe.summary.as_str()),
            1 => Cell::coloured("1 mistake: xlfsctl recipe check", Some(Colour::Red)),
            count => {
                Cell::coloured(format!("{count} mistakes: xlfsctl recipe check"), Some(Colour::Red))
            }
        };
        table.row([
            recipe.name.as_str().into(),
            kind_word(recipe.kind()).into(),
            recipe.version.as_str().into(),
            summary,
        ]);
    }
    table.render(output.width, output.colour)
}

async fn show(session: &Session, args: Show) -> Result<Exit, Failure> {
    let output = &session.output;
    let tried = format!("cannot show the recipe of {}", args.name);
    let mut service = session.daemon().await?.recipes();
    let request = GetRecipeRequest { set: args.set.unwrap_or_default(), name: args.name };
    let recipe = answer(service.get_recipe(request)).await.context(|| tried)?;
    if args.text {
        let lines = recipe.text.lines().map(|line| plain(&line.replace('\t', "    ")) + "\n");
        output.text(&lines.collect::<String>())?;
    } else if output.is_table() {
        output.text(&facts(&recipe, output))?;
    } else {
        output.document(&RecipeView::from(&recipe))?;
    }
    Ok(Exit::Ok)
}

fn facts(recipe: &Whole, output: &Output) -> String {
    let outline = recipe.outline.clone().unwrap_or_default();
    let heading = format!("{} {}", outline.name, outline.version);
    let mut facts = Facts::new(output, plain(heading.trim()).as_str());
    facts.fact("Summary", &outline.summary);
    facts.fact("Why", &recipe.why);
    facts.fact("Licence", &outline.licence);
    facts.fact("To build", recipe.build_depends.join(", "));
    let run = if outline.kind() == RecipeKind::Image { "Packages" } else { "To run" };
    facts.fact(run, recipe.run_depends.join(", "));
    facts.many("Sources", recipe.sources.iter().cloned());
    let made = if outline.kind() == RecipeKind::Image { "Files" } else { "Outputs" };
    facts.fact(made, recipe.outputs.join(", "));
    facts.fact("Needed by", recipe.needed_by.join(", "));
    facts.many("Mistakes", recipe.mistakes.iter().map(mistake));
    facts.fact("File", &recipe.path);
    facts.into_text()
}

async fn check(session: &Session, args: Check) -> Result<Exit, Failure> {
    let output = &session.output;
    let mut service = session.daemon().await?.recipes();
    let request = CheckRecipesRequest { set: args.set.unwrap_or_default() };
    let call = service.check_recipes(request);
    let found = answer(call).await.context(|| "cannot check the recipes".to_owned())?;
    let exit = if found.mistakes.is_empty() { Exit::Ok } else { Exit::Invalid };
    if !output.is_table() {
        output.document(&CheckView::from(&found))?;
        return Ok(exit);
    }
    // Editors and people find the place by such lines.
    for one in &found.mistakes {
        output.text(&(plain(&mistake(one)) + "\n"))?;
    }
    output.note(&format!(
        "{} packages, {} images, {} mistakes",
        found.packages,
        found.images,
        found.mistakes.len()
    ));
    Ok(exit)
}

/// `file:line:column: what`, as far as that is known.
fn mistake(one: &RecipeMistake) -> String {
    match (one.path.as_str(), one.line) {
        ("", _) => format!("{}: {}", one.name, one.text),
        (path, 0) => format!("{path}: {}", one.text),
        (path, line) => format!("{path}:{line}:{}: {}", one.column, one.text),
    }
}

async fn new(session: &Session, args: New) -> Result<Exit, Failure> {
    let output = &session.output;
    let tried = format!("cannot begin the recipe of {}", args.name);
    let kind = if args.image { RecipeKind::Image } else { RecipeKind::Package };
    let request = NewRecipeRequest {
        set: args.set.unwrap_or_default(),
        name: args.name,
        kind: kind.into(),
        dry_run: args.print,
    };
    let mut service = session.daemon().await?.recipes();
    let made = service.new_recipe(request).await.context(|| tried)?.into_inner();
    if !output.is_table() {
        output.document(&NewRecipeView {
            path: made.path,
            text: made.text,
            written: !args.print,
        })?;
    } else if args.print {
        output.text(&made.text)?;
    } else {
        output.text(&format!("{}\n", plain(&made.path)))?;
    }
    Ok(Exit::Ok)
}
