//! Recipes: listed, shown, checked, begun.

use std::fs;

use tonic::Code;
use xlfs_proto::v1::recipe_service_client::RecipeServiceClient;
use xlfs_proto::v1::{
    CheckRecipesRequest, GetRecipeRequest, ListRecipesRequest, NewRecipeRequest, RecipeKind,
};

use crate::daemon::reason;
use crate::tiny::{daemon, package, write};

#[tokio::test]
async fn mistakes_are_told_with_their_places() {
    let daemon = daemon().await;
    let mut client = RecipeServiceClient::new(daemon.connect().await);
    package(&daemon, "good", &[], "true");
    package(&daemon, "lost", &["good", "goood"], "true");
    write(&daemon, "odd.toml", "name = \"odd\"\n\nversoin = \"1\"\n");
    let check = CheckRecipesRequest::default();
    let found = client.check_recipes(check.clone()).await.unwrap().into_inner();
    assert_eq!((found.set.as_str(), found.packages, found.mistakes.len()), ("t", 2, 2));
    let places: Vec<_> = found
        .mistakes
        .iter()
        .map(|it| (it.name.as_str(), it.path.rsplit('/').next().unwrap(), it.line, it.column))
        .collect();
    assert_eq!(places, [("lost", "lost.toml", 8, 18), ("odd", "odd.toml", 3, 1)]);
    assert!(found.mistakes[0].text.contains("did you mean \"good\"?"), "{found:?}");
    assert!(found.mistakes[1].text.starts_with("unknown key \"versoin\""), "{found:?}");

    let sets = client.list_recipes(ListRecipesRequest::default()).await.unwrap().into_inner().sets;
    let recipes: Vec<_> =
        sets[0].recipes.iter().map(|it| (it.name.as_str(), it.mistakes)).collect();
    assert_eq!(recipes, [("good", 0), ("lost", 1), ("odd", 1)]);
    assert!(sets[0].default && sets[0].toolchains[0].of_host);
    let show = |name: &str| GetRecipeRequest { name: name.to_owned(), ..Default::default() };
    let good = client.get_recipe(show("good")).await.unwrap().into_inner();
    assert_eq!(good.needed_by, ["lost"]);
    assert!(good.text.starts_with("name = \"good\"") && good.path.ends_with("good.toml"));
    assert_eq!(client.get_recipe(show("odd")).await.unwrap().into_inner().mistakes.len(), 1);
    for name in ["../../state/lock", "gone"] {
        assert_eq!(client.get_recipe(show(name)).await.unwrap_err().code(), Code::NotFound);
    }

    // A set that cannot be read is a mistake, too.
    write(&daemon, "set.toml", "name = \"t\"\nsummary = 3\n");
    let found = client.check_recipes(check).await.unwrap().into_inner();
    assert_eq!((found.mistakes[0].line, found.mistakes.len()), (2, 1), "{found:?}");
    let all = ListRecipesRequest { sets: true, ..ListRecipesRequest::default() };
    let sets = client.list_recipes(all).await.unwrap().into_inner().sets;
    assert!(sets[0].problem.contains("set.toml:2:"), "{sets:?}");
}

#[tokio::test]
async fn a_new_recipe_is_a_skeleton_without_mistakes() {
    let daemon = daemon().await;
    let mut client = RecipeServiceClient::new(daemon.connect().await);
    let new = |name: &str, kind: RecipeKind, dry_run| NewRecipeRequest {
        name: name.to_owned(),
        kind: kind.into(),
        dry_run,
        ..NewRecipeRequest::default()
    };
    let dry = client.new_recipe(new("zlib", RecipeKind::Package, true)).await.unwrap().into_inner();
    assert!(!fs::exists(&dry.path).unwrap());
    let made =
        client.new_recipe(new("zlib", RecipeKind::Package, false)).await.unwrap().into_inner();
    assert_eq!(fs::read_to_string(&made.path).unwrap(), dry.text);
    client.new_recipe(new("tiny", RecipeKind::Image, false)).await.unwrap();
    let again = client.new_recipe(new("zlib", RecipeKind::Package, false)).await.unwrap_err();
    assert_eq!((again.code(), reason(&again).as_str()), (Code::AlreadyExists, "RECIPE_EXISTS"));
    // One name for both would be a mistake.
    let again = client.new_recipe(new("zlib", RecipeKind::Image, false)).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    for name in ["../zlib", "set", "", "Zlib"] {
        let bad = client.new_recipe(new(name, RecipeKind::Package, false)).await.unwrap_err();
        assert_eq!(reason(&bad), "BAD_NAME", "{name}");
    }
    let check = CheckRecipesRequest::default();
    let found = client.check_recipes(check).await.unwrap().into_inner();
    assert_eq!((found.packages, found.images, found.mistakes.len()), (1, 1, 0), "{found:?}");
}
