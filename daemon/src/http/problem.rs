//! RFC 9457 problems: what every refused request is answered with.

use axum::Json;
use axum::extract::path::ErrorKind as PathError;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use holdfast_store::StoreError;
use holdfast_wire::api::{Mistake, Problem};
use serde::de::DeserializeOwned;

use crate::blobs::BlobError;
use crate::builds::ArchiveError;
use crate::farm::Stopping;

/// Mistakes of one request that are told at once; more would not be read.
const MISTAKES_MAX: usize = 20;

/// A refusal on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Problem);

impl Refusal {
    /// A problem of a kind: `kind` is the end of its stable name.
    pub fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Problem {
            kind: format!("urn:holdfast:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            mistakes: Vec::new(),
        })
    }

    /// What was named is not there.
    pub fn not_found(what: impl std::fmt::Display, mend: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("there is no {what}; {mend}"))
    }

    /// The request is wrong in one place.
    pub fn mistake(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::mistakes(vec![Mistake { place: place.into(), what: what.into() }])
    }

    /// The request is wrong in these places.
    pub fn mistakes(mistakes: Vec<Mistake>) -> Self {
        let detail = match mistakes.len() {
            1 => "the request has a mistake; mend it and send it again".to_owned(),
            count => format!("the request has {count} mistakes; mend them and send it again"),
        };
        let mut refusal =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "mistakes", "The request has mistakes", detail);
        refusal.0.mistakes = mistakes;
        refusal
    }

    /// The daemon's own trouble; the details are in its log.
    pub fn trouble(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "trouble", "The daemon has trouble", detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Stopping> for Refusal {
    fn from(stopping: Stopping) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The daemon is stopping", stopping.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %Chain(&error), "the store does not serve");
        Self::trouble("the store does not serve; look into the daemon's log")
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        let (status, kind, title) = match &error {
            BlobError::TooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The upload is too large")
            }
            BlobError::OtherBytes { .. } => {
                (StatusCode::CONFLICT, "other-bytes", "The bytes have another hash")
            }
            BlobError::BrokenOff { .. } => (StatusCode::BAD_REQUEST, "broken-off", "The upload broke off"),
            BlobError::DiskFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk-full", "The daemon's disk is full")
            }
            BlobError::Disk { .. } => {
                tracing::error!(error = %Chain(&error), "the disk does not serve");
                (StatusCode::INTERNAL_SERVER_ERROR, "disk", "The daemon's disk does not serve")
            }
        };
        Self::new(status, kind, title, error.to_string())
    }
}

impl From<ArchiveError> for Refusal {
    fn from(error: ArchiveError) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-archive",
            "The archive is refused",
            error.to_string(),
        )
    }
}

/// An error with everything beneath it, for logs.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// A JSON body whose mistakes are told with line, column and path.
#[derive(Debug)]
pub struct Body<T> {
    /// What it says.
    pub value: T,
    /// The bytes themselves.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(too_large)?;
        let value = parse(&bytes).map_err(Refusal::mistakes)?;
        Ok(Self { value, bytes })
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub struct Maybe<T>(pub Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Maybe<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(too_large)?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        parse(&bytes).map(|value| Self(Some(value))).map_err(Refusal::mistakes)
    }
}

/// The document, or its mistakes: one for every field that is wrong.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Vec<Mistake>> {
    // To know the path of a mistake costs a good deal, and most documents have none.
    serde_json::from_slice(bytes).or_else(|_| mistakes(bytes))
}

/// Reads a document again that has a mistake, for every place where it has one.
fn mistakes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Vec<Mistake>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let first = match serde_path_to_error::deserialize(&mut reader) {
        Ok(value) => {
            let after = |error: serde_json::Error| vec![mistake("after the document", &error)];
            return reader.end().map(|()| value).map_err(after);
        }
        Err(error) => error,
    };
    let path = first.path().to_string();
    let mut mistakes = vec![mistake(&path, first.inner())];
    // The parser stops at the first mistake; without the field that has it, it comes to the next.
    if let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(bytes) {
        let mut wrong = field_of(&path);
        while fields.remove(&wrong).is_some() && mistakes.len() < MISTAKES_MAX {
            let rest = serde_json::Value::Object(fields.clone());
            let Err(error) = serde_path_to_error::deserialize::<_, T>(rest) else { break };
            let path = error.path().to_string();
            wrong = field_of(&path);
            // The fields that were taken out are now missed; that is no mistake of the request.
            if fields.contains_key(&wrong) {
                mistakes.push(mistake(&path, error.inner()));
            }
        }
    }
    Err(mistakes)
}

/// The field of the whole document that a path leads into.
fn field_of(path: &str) -> String {
    path.split(['.', '[']).next().unwrap_or_default().to_owned()
}

/// One mistake: its place is named once, as path and, where the parser knows them, line and column.
fn mistake(path: &str, error: &serde_json::Error) -> Mistake {
    let words = error.to_string();
    let Some((what, _)) = words.rsplit_once(" at line ").filter(|_| error.line() > 0) else {
        return Mistake { place: path.to_owned(), what: words };
    };
    let at = format!("line {}, column {}", error.line(), error.column());
    // Where the text itself is broken, the path is not known.
    let place = if matches!(path, "." | "?") { at } else { format!("{path} ({at})") };
    Mistake { place, what: what.to_owned() }
}

fn too_large(rejection: BytesRejection) -> Refusal {
    let (status, detail) = (rejection.status(), rejection.body_text());
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        Refusal::new(
            status,
            "too-large",
            "The request is too large",
            "the request is too large; send less at once",
        )
    } else {
        Refusal::new(StatusCode::BAD_REQUEST, "broken-off", "The request broke off", detail)
    }
}

/// A query whose mistakes are told.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> axum::extract::FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Refusal> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|error| Refusal::mistake("query", innermost(&error)))
    }
}

/// A part of the path whose mistakes are told.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> axum::extract::FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Refusal> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|error| {
            let what = innermost(&error);
            let PathRejection::FailedToDeserializePathParams(error) = error else {
                return Refusal::mistake("path", what);
            };
            match error.into_kind() {
                // The message names the value already.
                PathError::DeserializeError { message, .. } => Refusal::mistake("path", message),
                _ => Refusal::mistake("path", what),
            }
        })
    }
}

/// The cause that says what is wrong; those above it only say where it came by.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}
