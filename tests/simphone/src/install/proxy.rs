//! `com.apple.mobile.installation_proxy`: the conversation with a client. What an installation does is told by
//! [`installer`](super::installer).

use std::sync::Arc;

use plist::{Dictionary, Value};
use tokio::sync::mpsc;

use super::apps::InstalledApp;
use super::installer::{self, Step};
use super::package::text;
use super::refusal::Refusal;
use crate::framing;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// How many apps one reply of `Browse` carries; iOS cuts its list in pieces of about this size.
const BROWSE_CHUNK: usize = 10;

/// Steps of an installation that may wait for a slow client. An installation has twelve.
const STEPS_MAX: usize = 32;

/// Serves one connection.
pub(super) async fn serve(mut stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    while let Some(request) = framing::read(&mut stream).await? {
        tokio::time::sleep(phone.faults.latency()).await;
        let Some(request) = request.into_dictionary() else {
            return Err(ServiceError::protocol("installation_proxy expects a dictionary"));
        };
        let command = text(&request, "Command").unwrap_or_default();
        let options =
            request.get("ClientOptions").and_then(Value::as_dictionary).cloned().unwrap_or_default();
        match command.as_str() {
            "Install" | "Upgrade" => install(&mut stream, &phone, &request).await?,
            "Uninstall" => uninstall(&mut stream, &phone, &request).await?,
            "Browse" => browse(&mut stream, &phone, &options).await?,
            "Lookup" => {
                let found = chosen(&phone, &options)
                    .into_iter()
                    .map(|app| (app.bundle_id.clone(), shown(&app, &options)))
                    .collect();
                complete(&mut stream, Some(found)).await?;
            }
            "LookupArchives" => complete(&mut stream, Some(Dictionary::new())).await?,
            "CheckCapabilitiesMatch" => {
                let mut matched = Dictionary::new();
                matched.insert("CapabilitiesMatch".to_owned(), true.into());
                matched.insert("MismatchedCapabilities".to_owned(), Value::Array(Vec::new()));
                complete(&mut stream, Some(matched)).await?;
            }
            "" => refuse(&mut stream, &Refusal::new("MissingCommand", "the request has no Command")).await?,
            other => {
                let refusal = Refusal::new("UnknownCommand", format!("there is no command `{other}`"));
                refuse(&mut stream, &refusal).await?;
            }
        }
    }
    Ok(())
}

/// What becomes of a package in the media folder once it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staged {
    /// It goes, with the bytes that its upload took: iOS moves it out of the media folder.
    Remove,
    /// Whoever put it there removes it.
    Leave,
}

/// Installs in a thread of its own, which goes on when the client hangs up; the steps come as they are taken.
pub(super) fn start_install(
    phone: &Arc<Phone>,
    package: std::path::PathBuf,
    after: Staged,
) -> (mpsc::Receiver<Step>, tokio::task::JoinHandle<Result<Arc<InstalledApp>, Refusal>>) {
    let (tell, steps) = mpsc::channel(STEPS_MAX);
    let phone = Arc::clone(phone);
    let work = tokio::task::spawn_blocking(move || {
        let installed = installer::install(&phone, &package, &mut |step| {
            // The client may be gone; a phone finishes all the same.
            let _gone = tell.blocking_send(step);
        });
        if installed.is_ok() && after == Staged::Remove {
            installer::remove_staged(&phone, &package);
        }
        installed
    });
    (steps, work)
}

/// What a task that was ended by its runtime or by a panic is to the client.
pub(super) fn broken(error: tokio::task::JoinError) -> ServiceError {
    ServiceError::Io { doing: "installing", source: std::io::Error::other(error) }
}

async fn install(
    stream: &mut BoxStream,
    phone: &Arc<Phone>,
    request: &Dictionary,
) -> Result<(), ServiceError> {
    let Some(path) = text(request, "PackagePath") else {
        return refuse(stream, &Refusal::new("MissingPackagePath", "the request has no PackagePath")).await;
    };
    let Some(package) = installer::in_media(phone, &path) else {
        let refusal = Refusal::new("APIInternalError", format!("Could not find a package at {path}"));
        return refuse(stream, &refusal).await;
    };
    let (mut steps, work) = start_install(phone, package, Staged::Remove);
    while let Some(step) = steps.recv().await {
        framing::write_xml(stream, &progress(step)).await?;
    }
    match work.await.map_err(broken)? {
        Ok(_) => complete(stream, None).await,
        Err(refusal) => refuse(stream, &refusal).await,
    }
}

async fn uninstall(
    stream: &mut BoxStream,
    phone: &Arc<Phone>,
    request: &Dictionary,
) -> Result<(), ServiceError> {
    let Some(bundle_id) = text(request, "ApplicationIdentifier") else {
        let refusal =
            Refusal::new("MissingApplicationIdentifier", "the request has no ApplicationIdentifier");
        return refuse(stream, &refusal).await;
    };
    for (status, percent) in [("RemovingApplication", 50), ("GeneratingApplicationMap", 90)] {
        framing::write_xml(stream, &progress(Step { status, percent })).await?;
    }
    let phone = Arc::clone(phone);
    let work = tokio::task::spawn_blocking(move || installer::uninstall(&phone, &bundle_id));
    match work.await.map_err(broken)? {
        Ok(()) => complete(stream, None).await,
        Err(refusal) => refuse(stream, &refusal).await,
    }
}

async fn browse(stream: &mut BoxStream, phone: &Phone, options: &Dictionary) -> Result<(), ServiceError> {
    let apps = chosen(phone, options);
    let total = apps.len() as u64;
    let mut index = 0_u64;
    for chunk in apps.chunks(BROWSE_CHUNK) {
        let list: Vec<Value> = chunk.iter().map(|app| shown(app, options)).collect();
        let mut reply = Dictionary::new();
        reply.insert("CurrentAmount".to_owned(), (list.len() as u64).into());
        reply.insert("CurrentIndex".to_owned(), index.into());
        reply.insert("Total".to_owned(), total.into());
        reply.insert("Status".to_owned(), "BrowsingApplications".into());
        index += list.len() as u64;
        reply.insert("CurrentList".to_owned(), Value::Array(list));
        framing::write_xml(stream, &reply).await?;
    }
    complete(stream, None).await
}

/// The apps that the client's options ask for.
fn chosen(phone: &Phone, options: &Dictionary) -> Vec<Arc<InstalledApp>> {
    let kind = text(options, "ApplicationType").unwrap_or_else(|| "Any".to_owned());
    let ids = options.get("BundleIDs").and_then(Value::as_array);
    let wanted = |app: &InstalledApp| {
        let kind_fits = kind == "Any" || kind == app.kind.word();
        let id_fits = ids.is_none_or(|ids| ids.iter().any(|id| id.as_string() == Some(&app.bundle_id)));
        kind_fits && id_fits
    };
    phone.apps.all().into_iter().filter(|app| wanted(app)).collect()
}

/// What the client sees of an app: everything, or the attributes it named.
fn shown(app: &InstalledApp, options: &Dictionary) -> Value {
    let mut attributes = app.attributes();
    if let Some(wanted) = options.get("ReturnAttributes").and_then(Value::as_array) {
        attributes.retain(|key, _| wanted.iter().any(|name| name.as_string() == Some(key)));
    }
    Value::Dictionary(attributes)
}

/// One step as a reply.
pub(super) fn progress(step: Step) -> Dictionary {
    let mut reply = Dictionary::new();
    reply.insert("Status".to_owned(), step.status.into());
    reply.insert("PercentComplete".to_owned(), step.percent.into());
    reply
}

async fn complete(stream: &mut BoxStream, result: Option<Dictionary>) -> Result<(), ServiceError> {
    let mut reply = Dictionary::new();
    if let Some(result) = result {
        reply.insert("LookupResult".to_owned(), Value::Dictionary(result));
    }
    reply.insert("Status".to_owned(), "Complete".into());
    framing::write_xml(stream, &reply).await
}

async fn refuse(stream: &mut BoxStream, refusal: &Refusal) -> Result<(), ServiceError> {
    framing::write_xml(stream, &refusal.reply()).await
}
