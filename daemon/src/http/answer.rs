//! An answer in JSON on the paths where there are thousands a second: written into one piece of memory that it fits,
//! which `axum::Json` would make room for again and again. Everything else answers with that one.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Refusal;

/// Bytes that a job's description, or an order or two, take. A longer answer only grows.
const BYTES_USUAL: usize = 4 * 1024;

/// A JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T>(pub T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut bytes = Vec::with_capacity(BYTES_USUAL);
        if let Err(error) = serde_json::to_writer(&mut bytes, &self.0) {
            return Refusal::trouble(error.to_string()).into_response();
        }
        let mut response = Response::new(Body::from(bytes));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    async fn told<T: Serialize>(value: T) -> (u16, String, String) {
        let response = Answer(value).into_response();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, kind, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_has_a_json_form_is_told_whole_and_what_has_none_is_trouble() {
        let long = "x".repeat(2 * BYTES_USUAL);
        for (value, body) in [("a", "\"a\"".to_owned()), (&long, format!("\"{long}\""))] {
            assert_eq!(told(value).await, (200, "application/json".to_owned(), body));
        }
        let (status, kind, _) = told(BTreeMap::from([([1], 2)])).await;
        assert_eq!((status, kind.as_str()), (500, "application/problem+json"));
    }
}
