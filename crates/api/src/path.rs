//! The pipeline that a request is about, from its path.
use crate::error::Error;
use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use dataflow_core::{id::PipelineId, problem::Problem};

/// A piece of the path, percent-decoded.
async fn piece<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Error> {
    let pieces = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| Error::invalid(vec![Problem::new("path", "invalid-value", "the path is not UTF-8")]))?;
    let piece = pieces.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    piece.ok_or_else(|| Error::unknown_path(parts.uri.path()))
}

/// `{id}`.
#[derive(Debug)]
pub(crate) struct Pipeline(pub(crate) PipelineId);

impl<S: Send + Sync> FromRequestParts<S> for Pipeline {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let id = piece(parts, state, "id").await?;
        PipelineId::try_from(id)
            .map(Self)
            .map_err(|error| Error::invalid(vec![Problem::new("pipelineId", "invalid-value", error.to_string())]))
    }
}

/// `{number}`.
#[derive(Debug)]
pub(crate) struct Number(pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let number = piece(parts, state, "number").await?;
        number.parse().map(Self).map_err(|_| {
            let message = format!("{number:?} is not a number");
            Error::invalid(vec![Problem::new("number", "invalid-value", message).fix("give a number from 1 on")])
        })
    }
}

/// `{kind}/{type}`.
#[derive(Debug)]
pub(crate) struct ConnectorName(pub(crate) String, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for ConnectorName {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self(piece(parts, state, "kind").await?, piece(parts, state, "type").await?))
    }
}
