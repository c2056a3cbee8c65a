//! The names of recipes, release sets and builds, as candidates for a completion.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use xlfs_proto::v1::{ListBuildsRequest, ListRecipesRequest, RecipeKind, RecipeOutline, RecipeSet};

use super::given;
use super::names::{ask, candidate};
use crate::client::Daemon;
use crate::output::view::build::build_state_word;

/// Every package and image.
pub(crate) fn targets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| recipes(|_| true))
}

/// Every package.
pub(crate) fn packages() -> ArgValueCandidates {
    ArgValueCandidates::new(|| recipes(|it| it.kind() == RecipeKind::Package))
}

/// Every image of recipes.
pub(crate) fn built_images() -> ArgValueCandidates {
    ArgValueCandidates::new(|| recipes(|it| it.kind() == RecipeKind::Image))
}

fn recipes(wanted: impl Fn(&RecipeOutline) -> bool) -> Vec<CompletionCandidate> {
    let sets = list(false);
    let recipes = sets.iter().flat_map(|set| &set.recipes).filter(|it| wanted(it));
    recipes.filter_map(|it| candidate(&it.name, &it.summary)).collect()
}

/// Every release set.
pub(crate) fn sets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        list(true).iter().filter_map(|set| candidate(&set.name, &set.summary)).collect()
    })
}

/// The toolchains of the set.
pub(crate) fn toolchains() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let sets = list(false);
        let toolchains = sets.iter().flat_map(|set| &set.toolchains);
        toolchains.filter_map(|it| candidate(&it.name, &it.summary)).collect()
    })
}

/// The set that stands on the line, or the default one; or all, without what is in them.
fn list(sets: bool) -> Vec<RecipeSet> {
    let set = given("--set", None).filter(|_| !sets).unwrap_or_default();
    let reply = ask(async |daemon: Daemon| {
        let request = ListRecipesRequest { set, sets };
        Ok(daemon.recipes().list_recipes(request).await?.into_inner())
    });
    reply.map(|reply| reply.sets).unwrap_or_default()
}

/// Every build that is known.
pub(crate) fn builds() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let reply = ask(async |daemon: Daemon| {
            Ok(daemon.builds().list_builds(ListBuildsRequest {}).await?.into_inner())
        });
        let builds = reply.map(|reply| reply.builds).unwrap_or_default();
        let found = builds.iter();
        found.filter_map(|it| candidate(&it.id, build_state_word(it.state()))).collect()
    })
}
