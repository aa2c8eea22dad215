//! `holdfast crash import`: report files of this machine, brought into the farm.

use std::path::{Path, PathBuf};

use holdfast_crash::Container;
use holdfast_wire::api::CrashView;
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::Context;
use super::build::cannot_read;
use super::crash_read::{Found, Named, walk};
use crate::exit::{Exit, Failure};
use crate::output::printable;

/// What became of the files.
#[derive(Debug, Default, Serialize)]
struct Imported {
    /// Crashes that are new to the farm.
    new: Vec<CrashView>,
    /// Crashes that it had already.
    known: Vec<CrashView>,
    /// Files that are no reports, or in which nothing can be read.
    left_out: Vec<String>,
}

/// Sends every file, whatever became of those before it.
pub(super) async fn run(context: &Context, files: &[PathBuf]) -> Result<Exit, Failure> {
    let mut imported = Imported::default();
    for found in files.iter().flat_map(|file| walk(file)) {
        let (path, named) = match found {
            Found::File(path, named) => (path, named),
            Found::Other => continue,
            Found::Closed(path, cause) => return Err(cannot_read(&path, cause)),
        };
        let bytes = std::fs::read(&path).map_err(|cause| cannot_read(&path, cause))?;
        if holdfast_crash::read(&bytes).container == Container::Unreadable {
            if named == Named::ByHand {
                let words =
                    format!("nothing can be read of {}; `holdfast crash read` says why", path.display());
                return Err(Failure::Request(words));
            }
            imported.left_out.push(path.display().to_string());
            continue;
        }
        let (status, crash) = send(context, &path, bytes).await?;
        let list = if status == StatusCode::CREATED { &mut imported.new } else { &mut imported.known };
        list.push(crash);
    }
    context.show(&imported, words)
}

async fn send(context: &Context, path: &Path, bytes: Vec<u8>) -> Result<(StatusCode, CrashView), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let request = context
        .client
        .request(Method::POST, "/api/v1/crashes")
        .query(&[("name", name)])
        .header("content-type", "application/octet-stream")
        .body(bytes);
    let answer = context.client.send(request).await?;
    let status = answer.status();
    Ok((status, context.client.document(answer).await?))
}

fn words(imported: &Imported) -> String {
    let mut groups: Vec<&str> = imported
        .new
        .iter()
        .chain(&imported.known)
        .filter_map(|crash| crash.group.as_ref().map(|group| group.as_str()))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    let mut text = format!(
        "{} new crashes, {} known already, in {} groups: holdfast group list",
        imported.new.len(),
        imported.known.len(),
        groups.len()
    );
    for path in &imported.left_out {
        text.push_str(&format!("\nleft out, as it is no report: {}", printable(path)));
    }
    text
}
