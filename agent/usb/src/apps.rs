//! Apps on a phone: what is there, putting one on, taking one off. Bringing the archive over is
//! [`upload`](crate::upload)'s work, running an app [`instruments`](crate::instruments)'.

use std::time::Duration;

use holdfast_wire::id::BundleId;
use holdfast_wire::phone::InstalledApp;
use plist::{Dictionary, Value};

use crate::error::UsbError;
use crate::guard::heard;
use crate::talk::{Talk, dictionary};

/// The service that knows apps.
pub(crate) const SERVICE: &str = "com.apple.mobile.installation_proxy";

/// Most apps listed: a phone holds a few hundred.
const APPS_MAX: usize = 5000;

const ATTRIBUTES: [&str; 5] =
    ["CFBundleIdentifier", "CFBundleShortVersionString", "CFBundleVersion", "CFBundleExecutable", "Path"];

/// An app with what is needed to know its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct App {
    /// What the farm calls it.
    pub(crate) app: InstalledApp,
    /// The name of its main executable, which its crash reports bear.
    pub(crate) executable: String,
    /// The folder of its bundle on the phone.
    pub(crate) path: String,
}

/// Whether the app is there before: the phone is told to install or to upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Another version of it is there.
    Present,
    /// It is not.
    Absent,
}

/// One app; none when it is not there.
pub(crate) async fn lookup(talk: &mut Talk, app: &BundleId) -> Result<Option<App>, UsbError> {
    let options = dictionary([
        ("BundleIDs", Value::Array(vec![app.as_str().into()])),
        ("ReturnAttributes", attributes()),
        ("ApplicationType", "Any".into()),
    ]);
    let command = dictionary([("Command", "Lookup".into()), ("ClientOptions", Value::Dictionary(options))]);
    talk.send(&command).await?;
    let answer = talk.receive().await?;
    refusal(&answer)?;
    let found = answer.get("LookupResult").and_then(Value::as_dictionary);
    let found = found.ok_or_else(|| UsbError::protocol("a lookup without LookupResult"))?;
    Ok(found.get(app.as_str()).and_then(Value::as_dictionary).and_then(read_app))
}

/// The apps of users.
pub(crate) async fn browse(talk: &mut Talk) -> Result<Vec<InstalledApp>, UsbError> {
    let options = dictionary([("ApplicationType", "User".into()), ("ReturnAttributes", attributes())]);
    talk.send(&dictionary([("Command", "Browse".into()), ("ClientOptions", Value::Dictionary(options))]))
        .await?;
    let mut apps = Vec::new();
    loop {
        let answer = talk.receive().await?;
        refusal(&answer)?;
        let list = answer.get("CurrentList").and_then(Value::as_array).into_iter().flatten();
        apps.extend(list.filter_map(Value::as_dictionary).filter_map(read_app).map(|found| found.app));
        if status(&answer) == Some("Complete") {
            apps.sort_by(|one, other| one.bundle_id.cmp(&other.bundle_id));
            return Ok(apps);
        }
        if apps.len() > APPS_MAX {
            return Err(UsbError::protocol(format!("more than {APPS_MAX} apps")));
        }
    }
}

/// Installs or upgrades from an archive in the staging folder; `progress` is told per cent.
pub(crate) async fn install(
    talk: &mut Talk,
    remote: &str,
    app: &BundleId,
    before: Before,
    silence: Duration,
    progress: &(dyn Fn(u8) + Send + Sync),
) -> Result<(), UsbError> {
    let command = match before {
        Before::Present => "Upgrade",
        Before::Absent => "Install",
    };
    let options = dictionary([("CFBundleIdentifier", app.as_str().into())]);
    let question = dictionary([
        ("Command", command.into()),
        ("PackagePath", remote.into()),
        ("ClientOptions", Value::Dictionary(options)),
    ]);
    heard(silence, talk.send(&question)).await?;
    complete(talk, silence, progress).await
}

/// Takes an app off; one that is not there is fine.
pub(crate) async fn uninstall(talk: &mut Talk, app: &BundleId, silence: Duration) -> Result<(), UsbError> {
    if lookup(talk, app).await?.is_none() {
        return Ok(());
    }
    let question = dictionary([
        ("Command", "Uninstall".into()),
        ("ApplicationIdentifier", app.as_str().into()),
        ("ClientOptions", Value::Dictionary(Dictionary::new())),
    ]);
    talk.send(&question).await?;
    complete(talk, silence, &|_percent| {}).await
}

async fn complete(
    talk: &mut Talk,
    silence: Duration,
    progress: &(dyn Fn(u8) + Send + Sync),
) -> Result<(), UsbError> {
    loop {
        let answer = heard(silence, talk.receive()).await?;
        refusal(&answer)?;
        if let Some(percent) = answer.get("PercentComplete").and_then(Value::as_unsigned_integer) {
            progress(u8::try_from(percent.min(100)).unwrap_or(100));
        }
        if status(&answer) == Some("Complete") {
            return Ok(());
        }
    }
}

fn status(answer: &Dictionary) -> Option<&str> {
    answer.get("Status").and_then(Value::as_string)
}

/// The phone's refusal in its own words: `ApplicationVerificationFailed: Failed to verify … 0xe8008015`.
fn refusal(answer: &Dictionary) -> Result<(), UsbError> {
    let Some(error) = answer.get("Error") else { return Ok(()) };
    let error = error.as_string().map_or_else(|| format!("{error:?}"), str::to_owned);
    let words = match answer.get("ErrorDescription").and_then(Value::as_string) {
        Some(description) => format!("{error}: {description}"),
        None => error,
    };
    if words.starts_with("DeviceLocked") || words.starts_with("PasswordProtected") {
        return Err(UsbError::Locked);
    }
    Err(UsbError::AppRefused { words })
}

fn attributes() -> Value {
    Value::Array(ATTRIBUTES.iter().map(|name| Value::from(*name)).collect())
}

fn read_app(fields: &Dictionary) -> Option<App> {
    let text = |key: &str| fields.get(key).and_then(Value::as_string).unwrap_or_default().to_owned();
    Some(App {
        app: InstalledApp {
            bundle_id: text("CFBundleIdentifier").parse().ok()?,
            version: text("CFBundleShortVersionString"),
            build_number: text("CFBundleVersion"),
        },
        executable: text("CFBundleExecutable"),
        path: text("Path"),
    })
}

#[cfg(test)]
mod tests {
    use holdfast_device::FaultKind;

    use super::*;

    #[test]
    fn the_words_of_the_phone_are_kept() {
        let refused = |words: &str| Some(FaultKind::AppRefused { words: words.to_owned() });
        let verification = "ApplicationVerificationFailed";
        let cases = [
            ("Status", "Complete", "", None),
            (
                "Error",
                verification,
                "bad seal: 0xe8008015",
                refused("ApplicationVerificationFailed: bad seal: 0xe8008015"),
            ),
            ("Error", "APIInternalError", "", refused("APIInternalError")),
            ("Error", "PackageExtractionFailed", "No space left on device", Some(FaultKind::NoRoom)),
            ("Error", "DeviceLocked", "", Some(FaultKind::Locked)),
        ];
        for (key, word, description, expected) in cases {
            let mut answer = dictionary([(key, word.into())]);
            if !description.is_empty() {
                answer.insert("ErrorDescription".to_owned(), description.into());
            }
            assert_eq!(refusal(&answer).err().map(|error| error.kind()), expected, "{word} {description}");
        }
    }
}
