//! `/`: a small page with the pipelines and their ledgers.
use axum::{http::header, response::IntoResponse};

/// The page. It asks the API for what it shows.
pub(crate) async fn page() -> impl IntoResponse {
    html(include_str!("landing.html"))
}

/// A page of ours that loads nothing from elsewhere.
pub(crate) fn html(text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
        ),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
