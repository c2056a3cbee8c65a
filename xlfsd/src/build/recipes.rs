//! The recipes of this host: what there is, what stands there, what is wrong with it,
//! and a skeleton of a new one.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use xlfs_builder::recipe::check::RecipeError;
use xlfs_builder::recipe::locate::{Location, locate, locate_in, of_text};
use xlfs_builder::recipe::reference::is_name;
use xlfs_builder::recipe::{Image, LoadError, Package, RecipeSet};
use xlfs_builder::with_causes;
use xlfs_proto::v1 as pb;

use super::Builds;
use super::sets::{self, short};
use crate::api::blocking;
use crate::problem::Problem;

const PACKAGE: &str = include_str!("skeleton/package.toml");
const IMAGE: &str = include_str!("skeleton/image.toml");

impl Builds {
    /// The sets, or what is in one of them.
    pub async fn recipes(
        &self,
        request: pb::ListRecipesRequest,
    ) -> Result<Vec<pb::RecipeSet>, Problem> {
        let config = self.shared.config.clone();
        blocking(move || {
            let all = sets::all(&config);
            let default = sets::default_name(&config, &all).map(str::to_owned);
            let wanted = match request.sets {
                true => all.into_iter().collect(),
                false => vec![sets::choose(&config, &request.set)?],
            };
            let one = |(name, path): (String, std::path::PathBuf)| {
                let mut set = match RecipeSet::load(&path) {
                    Ok(set) => set_message(&set, !request.sets),
                    Err(error) => {
                        let problem = with_causes(&error);
                        pb::RecipeSet { problem, ..pb::RecipeSet::default() }
                    }
                };
                set.default = default.as_deref() == Some(&name);
                set.name = name;
                set.path = path.display().to_string();
                set
            };
            Ok(wanted.into_iter().map(one).collect())
        })
        .await?
    }

    /// Everything about a recipe.
    pub async fn recipe(&self, request: pb::GetRecipeRequest) -> Result<pb::Recipe, Problem> {
        let config = self.shared.config.clone();
        blocking(move || {
            let set = sets::load(&config, &request.set)?;
            recipe(&set, &request.name)
        })
        .await?
    }

    /// Every mistake of a set.
    pub async fn check(
        &self,
        request: pb::CheckRecipesRequest,
    ) -> Result<pb::CheckRecipesResponse, Problem> {
        let config = self.shared.config.clone();
        blocking(move || {
            let (name, path) = sets::choose(&config, &request.set)?;
            let set = match RecipeSet::load(&path) {
                Ok(set) => set,
                Err(error) => {
                    let mistakes = vec![unreadable(&error)];
                    let set = name;
                    return Ok(pb::CheckRecipesResponse { set, mistakes, ..Default::default() });
                }
            };
            let of = |(name, list): (&String, &Vec<RecipeError>)| {
                list.iter().map(|error| mistake(&set, name, error)).collect::<Vec<_>>()
            };
            Ok(pb::CheckRecipesResponse {
                set: name,
                packages: number(set.packages.len()),
                images: number(set.images.len()),
                mistakes: set.problems.iter().flat_map(of).collect(),
            })
        })
        .await?
    }

    /// Writes a skeleton.
    pub async fn new_recipe(
        &self,
        request: pb::NewRecipeRequest,
    ) -> Result<pb::NewRecipeResponse, Problem> {
        let config = self.shared.config.clone();
        blocking(move || {
            let kind = request.kind();
            let pb::NewRecipeRequest { set, name, dry_run, .. } = request;
            if !is_name(&name) || name == "set" {
                let rule = "must be lower-case letters, digits, '+', '-', '.' and '_', at most 64, \
                            and not \"set\"";
                return Err(Problem::invalid_field("BAD_NAME", "name", rule));
            }
            let set = sets::load(&config, &set)?;
            let (folder, text) = match kind {
                pb::RecipeKind::Image => (set.folder.join("images"), IMAGE),
                _ => (set.folder.clone(), PACKAGE),
            };
            let path = folder.join(format!("{name}.toml"));
            let text = text.replace("@NAME@", &name);
            let taken =
                [set.folder.join(format!("{name}.toml")), folder.join(format!("{name}.toml"))]
                    .into_iter()
                    .find(|path| path.exists());
            if let Some(taken) = taken {
                let message = format!("{} is there already", taken.display());
                return Err(Problem::already_exists("RECIPE_EXISTS", message)
                    .object(format!("recipe {name}")));
            }
            if !dry_run {
                let write = || {
                    std::fs::create_dir_all(&folder)?;
                    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
                    file.write_all(text.as_bytes())
                };
                write().map_err(|error: std::io::Error| {
                    let message = format!("{} cannot be written", path.display());
                    let problem = match error.kind() {
                        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                            Problem::failed_precondition("READ_ONLY", message).hint(
                                "Copy the set to a folder that can be written, such as \
                                 /etc/xlfs/recipes; or print the skeleton (--print).",
                            )
                        }
                        _ => Problem::internal(message),
                    };
                    problem.cause(&error)
                })?;
            }
            Ok(pb::NewRecipeResponse { path: path.display().to_string(), text })
        })
        .await?
    }
}

fn set_message(set: &RecipeSet, whole: bool) -> pb::RecipeSet {
    let file = &set.file;
    let toolchain = |(name, it): (&String, &xlfs_builder::recipe::Toolchain)| pb::Toolchain {
        name: name.clone(),
        summary: it.summary.clone(),
        default: *name == file.toolchain,
        of_host: of_host(set, name),
    };
    let mut recipes = Vec::new();
    if whole {
        recipes.extend(set.packages.values().map(|it| of_package(set, it)));
        recipes.extend(set.images.values().map(|it| of_image(set, it)));
        let unread =
            |name: &&String| !set.packages.contains_key(*name) && !set.images.contains_key(*name);
        // What cannot be read at all is there, too.
        recipes.extend(set.problems.keys().filter(unread).map(|name| pb::RecipeOutline {
            name: name.clone(),
            mistakes: mistakes(set, name),
            ..pb::RecipeOutline::default()
        }));
    }
    pb::RecipeSet {
        summary: file.summary.clone(),
        toolchains: file.toolchains.iter().map(toolchain).collect(),
        recipes,
        ..pb::RecipeSet::default()
    }
}

/// Whether files of the building machine are in a toolchain.
fn of_host(set: &RecipeSet, name: &str) -> bool {
    let mut next = Some(name);
    // A set whose toolchains lead in a circle is not read.
    while let Some(it) = next.and_then(|name| set.file.toolchains.get(name)) {
        if !it.debian.is_empty() {
            return true;
        }
        next = it.on.as_deref();
    }
    false
}

fn of_package(set: &RecipeSet, package: &Package) -> pb::RecipeOutline {
    pb::RecipeOutline {
        name: package.name.clone(),
        kind: pb::RecipeKind::Package.into(),
        version: package.version.clone(),
        licence: package.licence.clone(),
        summary: package.summary.clone(),
        mistakes: mistakes(set, &package.name),
    }
}

fn of_image(set: &RecipeSet, image: &Image) -> pb::RecipeOutline {
    pb::RecipeOutline {
        name: image.name.clone(),
        kind: pb::RecipeKind::Image.into(),
        summary: image.summary.clone(),
        mistakes: mistakes(set, &image.name),
        ..pb::RecipeOutline::default()
    }
}

fn mistakes(set: &RecipeSet, name: &str) -> u32 {
    number(set.problems.get(name).map_or(0, Vec::len))
}

fn recipe(set: &RecipeSet, name: &str) -> Result<pb::Recipe, Problem> {
    let needs = |list: &[String]| list.iter().any(|entry| entry.split(':').next() == Some(name));
    let packages = set.packages.values();
    let packages = packages.filter(|it| needs(&it.depends.build) || needs(&it.depends.run));
    let images = set.images.values().filter(|it| needs(&it.packages));
    let needed_by: Vec<String> =
        packages.map(|it| it.name.clone()).chain(images.map(|it| it.name.clone())).collect();
    let found = set.problems.get(name).into_iter().flatten();
    let found = found.map(|error| mistake(set, name, error)).collect();
    let common = pb::Recipe { needed_by, mistakes: found, ..pb::Recipe::default() };
    let (path, mut recipe) = if let Some(image) = set.images.get(name) {
        let recipe = pb::Recipe {
            outline: Some(of_image(set, image)),
            run_depends: image.packages.clone(),
            outputs: image.artifact.iter().map(|it| it.file.clone()).collect(),
            ..common
        };
        (set.folder.join("images").join(format!("{name}.toml")), recipe)
    } else if let Some(package) = set.packages.get(name) {
        let recipe = pb::Recipe {
            outline: Some(of_package(set, package)),
            why: package.why.trim().to_owned(),
            build_depends: package.depends.build.clone(),
            run_depends: package.depends.run.clone(),
            sources: package.source.iter().map(|it| it.file.clone()).collect(),
            outputs: set.outputs_of(package).map(str::to_owned).collect(),
            ..common
        };
        (set.folder.join(format!("{name}.toml")), recipe)
    } else if set.problems.contains_key(name) && is_name(name) {
        let mistakes = mistakes(set, name);
        let outline = pb::RecipeOutline { name: name.to_owned(), mistakes, ..Default::default() };
        let places = [
            set.folder.join(format!("{name}.toml")),
            set.folder.join(format!("images/{name}.toml")),
        ];
        let path = places.into_iter().find(|path| path.is_file()).unwrap_or_default();
        (path, pb::Recipe { outline: Some(outline), ..common })
    } else {
        let names = set.packages.keys().chain(set.images.keys()).map(String::as_str);
        let suggestion = xlfs_mistakes::suggest::did_you_mean(name, names);
        let message = format!(
            "the set {} has no package or image {:?}{suggestion}",
            set.file.name,
            short(name)
        );
        return Err(Problem::not_found("NO_SUCH_RECIPE", message)
            .object(format!("recipe {}", short(name)))
            .hint("List them: xlfsctl recipe list"));
    };
    recipe.text = std::fs::read_to_string(&path).unwrap_or_default();
    recipe.path = path.display().to_string();
    Ok(recipe)
}

fn mistake(set: &RecipeSet, name: &str, error: &RecipeError) -> pb::RecipeMistake {
    of_location(name, locate(set, error), with_causes(error))
}

/// Why there is no set, as a mistake in its files.
fn unreadable(error: &LoadError) -> pb::RecipeMistake {
    match error {
        LoadError::Text { source, .. } => {
            of_location("set.toml", Some(of_text(source)), with_causes(source))
        }
        LoadError::Check { path, source } => {
            of_location("set.toml", locate_in(path, source), with_causes(source.as_ref()))
        }
        LoadError::List { path, .. } => {
            let location = Location { path: path.clone(), at: None };
            of_location("set.toml", Some(location), with_causes(error))
        }
    }
}

fn of_location(name: &str, location: Option<Location>, text: String) -> pb::RecipeMistake {
    let path = location.as_ref().map(|it| it.path.display().to_string()).unwrap_or_default();
    let (line, column) = location.and_then(|it| it.at).unwrap_or_default();
    // Mistakes of the format begin with their place.
    let prefix = format!("{path}:{line}:{column}: ");
    let text = text.strip_prefix(&prefix).map(str::to_owned).unwrap_or(text);
    let (line, column) = (number(line), number(column));
    pb::RecipeMistake { name: name.to_owned(), path, line, column, text }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skeletons_are_recipes_without_mistakes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("t");
        std::fs::create_dir_all(folder.join("images")).unwrap();
        let set = "name = \"t\"\nsummary = \"s\"\nsource_date_epoch = 1\ntoolchain = \"x\"\n\
                   [toolchains.x]\nsummary = \"x\"\ndebian = [\"dash\"]\ntarget = \"x\"\n";
        std::fs::write(folder.join("set.toml"), set).unwrap();
        for (path, text) in [("one.toml", PACKAGE), ("images/two.toml", IMAGE)] {
            let name = if path.starts_with("one") { "one" } else { "two" };
            std::fs::write(folder.join(path), text.replace("@NAME@", name)).unwrap();
        }
        let set = RecipeSet::load(&folder).unwrap();
        assert!(set.problems.is_empty(), "{:?}", set.problems);
        assert_eq!((set.packages.len(), set.images.len()), (1, 1));
        let message = set_message(&set, true);
        assert!(message.toolchains[0].of_host && message.toolchains[0].default);
    }
}
