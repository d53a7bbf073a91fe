//! `/api/pipelines/validate`: findings about a pipeline without making it.
use crate::{body, error::Error, params::Params, state::ApiState};
use axum::{Json, extract::State};
use dataflow_api_types::{Findings, Problem};
use dataflow_sdk::{Catalog, catalog::Connections, check, transform::Compiler};
use serde_json::Value;

/// Check a pipeline
///
/// All findings, as the making of it would tell them; nothing is made or contacted. `pipelineId` may be left out.
#[utoipa::path(post, path = "/api/pipelines/validate", tag = "pipelines",
    request_body(content = Object, content_type = "application/json", description = "The pipeline; see the schemas NewPipeline and PipelineSpec"),
    responses((status = 200, body = Findings)))]
pub(crate) async fn validate(
    State(state): State<ApiState>,
    params: Params,
    body::Json(value): body::Json,
) -> Result<Json<Findings>, Error> {
    params.finish()?;
    Ok(Json(state.checking(move |state| findings(&value, &state.catalog, &state.connections, &*state.compiler)).await?))
}

/// All findings about a pipeline, for REST and for whoever has no node.
pub fn findings(value: &Value, catalog: &Catalog, connections: &Connections, compiler: &dyn Compiler) -> Findings {
    let checked = if value.get("pipelineId").is_some() {
        check::check_new(value, catalog, connections, compiler).map(|(_, spec)| spec)
    } else {
        check::check_spec(value, catalog, connections, compiler)
    };
    match checked {
        Ok(spec) => {
            let warnings = check::warnings(&spec, catalog).into_iter().map(Problem::from).collect();
            Findings { valid: true, problems: Vec::new(), warnings }
        }
        Err(problems) => {
            let problems = problems.into_iter().map(Problem::from).collect();
            Findings { valid: false, problems, warnings: Vec::new() }
        }
    }
}
