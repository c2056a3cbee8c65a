//! Recipes and release sets.

use serde::Serialize;
use xlfs_proto::v1;
use xlfs_proto::v1::RecipeKind;

use crate::errors::filled;

/// `recipe list --sets`.
#[derive(Debug, Serialize)]
pub(crate) struct RecipeSetsView {
    pub(crate) sets: Vec<RecipeSetView>,
}

/// `recipe list`.
#[derive(Debug, Serialize)]
pub(crate) struct RecipeSetView {
    name: String,
    summary: Option<String>,
    path: String,
    default: bool,
    toolchains: Vec<ToolchainView>,
    recipes: Vec<OutlineView>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ToolchainView {
    name: String,
    summary: Option<String>,
    default: bool,
    of_host: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutlineView {
    name: String,
    kind: &'static str,
    version: Option<String>,
    licence: Option<String>,
    summary: Option<String>,
    mistakes: u32,
}

/// `recipe show`.
#[derive(Debug, Serialize)]
pub(crate) struct RecipeView {
    #[serde(flatten)]
    outline: OutlineOnly,
    path: Option<String>,
    text: String,
    why: Option<String>,
    build_depends: Vec<String>,
    run_depends: Vec<String>,
    sources: Vec<String>,
    outputs: Vec<String>,
    needed_by: Vec<String>,
    mistakes: Vec<MistakeView>,
}

/// The outline without the count of mistakes, which stand there themselves.
#[derive(Debug, Serialize)]
struct OutlineOnly {
    name: String,
    kind: &'static str,
    version: Option<String>,
    licence: Option<String>,
    summary: Option<String>,
}

/// `recipe check`.
#[derive(Debug, Serialize)]
pub(crate) struct CheckView {
    set: String,
    packages: u32,
    images: u32,
    mistakes: Vec<MistakeView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct MistakeView {
    name: String,
    path: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    text: String,
}

/// `recipe new`.
#[derive(Debug, Serialize)]
pub(crate) struct NewRecipeView {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) written: bool,
}

impl From<&v1::RecipeSet> for RecipeSetView {
    fn from(set: &v1::RecipeSet) -> RecipeSetView {
        let toolchains = set.toolchains.iter().map(|it| ToolchainView {
            name: it.name.clone(),
            summary: filled(&it.summary),
            default: it.default,
            of_host: it.of_host,
        });
        RecipeSetView {
            name: set.name.clone(),
            summary: filled(&set.summary),
            path: set.path.clone(),
            default: set.default,
            toolchains: toolchains.collect(),
            recipes: set.recipes.iter().map(OutlineView::from).collect(),
            problem: filled(&set.problem),
        }
    }
}

impl From<&v1::RecipeOutline> for OutlineView {
    fn from(outline: &v1::RecipeOutline) -> OutlineView {
        OutlineView {
            name: outline.name.clone(),
            kind: kind_word(outline.kind()),
            version: filled(&outline.version),
            licence: filled(&outline.licence),
            summary: filled(&outline.summary),
            mistakes: outline.mistakes,
        }
    }
}

impl From<&v1::Recipe> for RecipeView {
    fn from(recipe: &v1::Recipe) -> RecipeView {
        let outline = OutlineView::from(&recipe.outline.clone().unwrap_or_default());
        let OutlineView { name, kind, version, licence, summary, .. } = outline;
        RecipeView {
            outline: OutlineOnly { name, kind, version, licence, summary },
            path: filled(&recipe.path),
            text: recipe.text.clone(),
            why: filled(&recipe.why),
            build_depends: recipe.build_depends.clone(),
            run_depends: recipe.run_depends.clone(),
            sources: recipe.sources.clone(),
            outputs: recipe.outputs.clone(),
            needed_by: recipe.needed_by.clone(),
            mistakes: recipe.mistakes.iter().map(MistakeView::from).collect(),
        }
    }
}

impl From<&v1::CheckRecipesResponse> for CheckView {
    fn from(found: &v1::CheckRecipesResponse) -> CheckView {
        CheckView {
            set: found.set.clone(),
            packages: found.packages,
            images: found.images,
            mistakes: found.mistakes.iter().map(MistakeView::from).collect(),
        }
    }
}

impl From<&v1::RecipeMistake> for MistakeView {
    fn from(one: &v1::RecipeMistake) -> MistakeView {
        MistakeView {
            name: one.name.clone(),
            path: filled(&one.path),
            line: Some(one.line).filter(|line| *line > 0),
            column: Some(one.column).filter(|column| *column > 0),
            text: one.text.clone(),
        }
    }
}

pub(crate) fn kind_word(kind: RecipeKind) -> &'static str {
    match kind {
        RecipeKind::Unspecified => "unknown",
        RecipeKind::Package => "package",
        RecipeKind::Image => "image",
    }
}
