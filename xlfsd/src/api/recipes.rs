//! `RecipeService`: the recipes of this host.

use tonic::{Request, Response, Status};
use xlfs_proto::v1 as pb;
use xlfs_proto::v1::recipe_service_server::RecipeService;

use crate::build::Builds;

#[derive(Debug)]
pub(super) struct RecipeApi {
    pub(super) builds: Builds,
}

#[tonic::async_trait]
impl RecipeService for RecipeApi {
    async fn list_recipes(
        &self,
        request: Request<pb::ListRecipesRequest>,
    ) -> Result<Response<pb::ListRecipesResponse>, Status> {
        let sets = self.builds.recipes(request.into_inner()).await?;
        Ok(Response::new(pb::ListRecipesResponse { sets }))
    }

    async fn get_recipe(
        &self,
        request: Request<pb::GetRecipeRequest>,
    ) -> Result<Response<pb::Recipe>, Status> {
        Ok(Response::new(self.builds.recipe(request.into_inner()).await?))
    }

    async fn check_recipes(
        &self,
        request: Request<pb::CheckRecipesRequest>,
    ) -> Result<Response<pb::CheckRecipesResponse>, Status> {
        Ok(Response::new(self.builds.check(request.into_inner()).await?))
    }

    async fn new_recipe(
        &self,
        request: Request<pb::NewRecipeRequest>,
    ) -> Result<Response<pb::NewRecipeResponse>, Status> {
        Ok(Response::new(self.builds.new_recipe(request.into_inner()).await?))
    }
}
