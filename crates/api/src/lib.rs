//! The REST door: pipelines declared, run and looked at over HTTP. One file per resource; errors are mapped in [`error`] alone.
mod batches;
mod body;
mod checkpoint;
mod connectors;
mod dead_letters;
mod docs;
pub mod error;
mod headers;
mod health;
mod history;
pub mod hosts;
mod landing;
mod lifecycle;
mod metrics;
mod params;
mod path;
mod pipelines;
pub mod state;
mod system;
mod validate;
pub mod views;

pub use hosts::Hosts;
pub use state::{ApiState, Readiness};
pub use validate::findings;

use axum::{
    Router,
    http::{Method, Uri},
    middleware,
    routing::{get, post},
};
use error::Error;
use tower_http::catch_panic::CatchPanicLayer;

/// Everything that this door answers.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/", get(landing::page))
        .route("/api/pipelines", get(pipelines::list).post(pipelines::create))
        .route("/api/pipelines/validate", post(validate::validate))
        .route("/api/pipelines/{id}", get(pipelines::get).put(pipelines::update).delete(pipelines::delete))
        .route("/api/pipelines/{id}/start", post(lifecycle::start))
        .route("/api/pipelines/{id}/stop", post(lifecycle::stop))
        .route("/api/pipelines/{id}/restart", post(lifecycle::restart))
        .route("/api/pipelines/{id}/batches", post(batches::push))
        .route("/api/pipelines/{id}/dead-letters", get(dead_letters::list))
        .route("/api/pipelines/{id}/dead-letters/{number}", get(dead_letters::get))
        .route("/api/pipelines/{id}/history", get(history::history))
        .route("/api/pipelines/{id}/recovery", get(history::recovery))
        .route("/api/pipelines/{id}/claims", get(history::claims))
        .route("/api/pipelines/{id}/checkpoint", get(checkpoint::get).put(checkpoint::reset))
        .route("/api/connectors", get(connectors::list))
        .route("/api/connectors/{kind}/{type}", get(connectors::get))
        .route("/api/system", get(system::system))
        .route("/api/openapi.json", get(docs::openapi))
        .route("/api/docs", get(docs::page))
        .route("/metrics", get(metrics::metrics))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(state.hosts.clone(), hosts::guard))
        .layer(CatchPanicLayer::custom(error::of_panic))
        .with_state(state)
}

async fn unknown_path(uri: Uri) -> Error {
    Error::unknown_path(uri.path())
}

async fn unknown_method(method: Method, uri: Uri) -> Error {
    Error::unknown_method(&method, uri.path())
}
