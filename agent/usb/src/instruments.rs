//! Processes on a phone: starting an app, looking, ending. The wire beneath is [`dtx`](crate::dtx).

use holdfast_device::{AppProcess, Launch};
use plist::Value;

use crate::apps::App;
use crate::dtx::{Answered, Argument, Dtx};
use crate::error::UsbError;

/// The services that offer instruments without a tunnel, the usual one first; some iOS 14 have only the second.
/// From iOS 17 on neither is offered here.
pub(crate) const SERVICES: [&str; 2] =
    ["com.apple.instruments.remoteserver.DVTSecureSocketProxy", "com.apple.instruments.remoteserver"];

const PROCESS_CONTROL: &str = "com.apple.instruments.server.services.processcontrol";
const DEVICE_INFO: &str = "com.apple.instruments.server.services.deviceinfo";

/// Most processes read: an iPhone runs some hundreds.
const PROCESSES_MAX: usize = 10_000;

/// Starts an app anew and gives its process number.
pub(crate) async fn launch(dtx: &mut Dtx, launch: &Launch) -> Result<u32, UsbError> {
    let selector = "launchSuspendedProcessWithDevicePath:bundleIdentifier:environment:arguments:options:";
    let options = crate::talk::dictionary([
        ("StartSuspendedKey", Value::Boolean(false)),
        ("KillExisting", Value::Boolean(true)),
    ]);
    let arguments = launch.arguments.iter().map(|argument| Value::from(argument.as_str())).collect();
    let environment =
        launch.environment.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    let arguments = [
        "".into(),
        launch.bundle_id.as_str().into(),
        Value::Dictionary(environment.collect()),
        Value::Array(arguments),
        Value::Dictionary(options),
    ]
    .map(Argument::Object);
    match dtx.call(PROCESS_CONTROL, selector, &arguments).await? {
        Answered::Object(Some(Value::Integer(pid))) => {
            let pid = pid.as_unsigned().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
            pid.ok_or_else(|| UsbError::protocol("a process number that is none"))
        }
        Answered::Error(error) => Err(launch_error(&words(&error))),
        Answered::Object(other) => Err(UsbError::protocol(format!("a launch was answered with {other:?}"))),
    }
}

/// Ends a process, without waiting until it is gone.
pub(crate) async fn kill(dtx: &mut Dtx, pid: u32) -> Result<(), UsbError> {
    dtx.tell(PROCESS_CONTROL, "killPid:", &[Argument::Object(Value::from(u64::from(pid)))]).await
}

/// Every process with the path of its executable.
pub(crate) async fn processes(dtx: &mut Dtx) -> Result<Vec<Process>, UsbError> {
    let list = match dtx.call(DEVICE_INFO, "runningProcesses", &[]).await? {
        Answered::Object(Some(Value::Array(list))) => list,
        Answered::Object(other) => {
            return Err(UsbError::protocol(format!("processes were asked for and {other:?} came")));
        }
        Answered::Error(error) => return Err(UsbError::protocol(words(&error))),
    };
    if list.len() > PROCESSES_MAX {
        return Err(UsbError::protocol(format!("more than {PROCESSES_MAX} processes")));
    }
    Ok(list.iter().filter_map(process).collect())
}

/// A process as the phone lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
    name: String,
    path: String,
}

impl Process {
    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is one of this app's: its main executable, or an extension inside its bundle.
    pub(crate) fn belongs_to(&self, app: &App) -> bool {
        let inside = |path: &str, folder: &str| {
            // The same folder is seen with and without the link at its beginning.
            let strip = |path: &str| path.strip_prefix("/private").unwrap_or(path).to_owned();
            let (path, folder) = (strip(path), strip(folder));
            path.strip_prefix(folder.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
        };
        if self.path.contains('/') && !app.path.is_empty() {
            inside(&self.path, &app.path)
        } else {
            !app.executable.is_empty() && self.name == app.executable
        }
    }
}

impl From<Process> for AppProcess {
    fn from(process: Process) -> Self {
        Self { pid: process.pid, name: process.name }
    }
}

fn process(value: &Value) -> Option<Process> {
    let fields = value.as_dictionary()?;
    let text = |key: &str| fields.get(key).and_then(Value::as_string).unwrap_or_default().to_owned();
    let pid = fields.get("pid").and_then(Value::as_unsigned_integer)?;
    Some(Process { pid: u32::try_from(pid).ok()?, name: text("name"), path: text("realAppName") })
}

/// What an error object says: description, reason and the same of what lies beneath it.
fn words(error: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    // Deeper than this nobody reads.
    for _ in 0..5 {
        let Some(fields) = next.and_then(Value::as_dictionary) else { break };
        let info = fields.get("NSUserInfo").and_then(Value::as_dictionary);
        let text = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_string);
        let said: Vec<&str> = [text("NSLocalizedDescription"), text("NSLocalizedFailureReason")]
            .into_iter()
            .flatten()
            .collect();
        let domain = fields.get("NSDomain").and_then(Value::as_string).unwrap_or("an error");
        let code = fields.get("NSCode").and_then(Value::as_signed_integer).unwrap_or_default();
        parts.push(format!("{} ({domain} {code})", said.join(": ")).trim_start().to_owned());
        next = info.and_then(|info| info.get("NSUnderlyingError"));
    }
    match (parts.is_empty(), error.as_string()) {
        (true, Some(text)) => text.to_owned(),
        (true, None) => "an error without words".to_owned(),
        (false, _) => parts.join("; "),
    }
}

/// What a refused launch means. SpringBoard's words are the only thing that tells: its codes are few and vague.
fn launch_error(words: &str) -> UsbError {
    let lower = words.to_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    if says(&["unknown to frontboard", "not installed", "unknown application", "applicationnotfound"]) {
        UsbError::AppMissing
    } else if says(&[
        "could not be, unlocked",
        "device was not, or could not be",
        "device is locked",
        "(locked)",
        "reason: locked",
    ]) {
        UsbError::Locked
    } else {
        UsbError::AppRefused { words: words.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_device::FaultKind;

    fn object(fields: &[(&str, Value)]) -> Value {
        Value::Dictionary(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    #[test]
    fn the_words_of_an_error_are_told_down_to_its_cause() {
        let cause = object(&[
            ("NSDomain", "FBSOpenApplicationErrorDomain".into()),
            ("NSCode", Value::from(4_u64)),
            ("NSUserInfo", object(&[("NSLocalizedDescription", "Unknown".into())])),
        ]);
        let info = object(&[
            ("NSLocalizedDescription", "The request was denied".into()),
            ("NSLocalizedFailureReason", "no such app".into()),
            ("NSUnderlyingError", cause),
        ]);
        let error =
            object(&[("NSDomain", "FBSOpen".into()), ("NSCode", Value::from(1_u64)), ("NSUserInfo", info)]);
        let told =
            "The request was denied: no such app (FBSOpen 1); Unknown (FBSOpenApplicationErrorDomain 4)";
        assert_eq!(words(&error), told);
        assert_eq!(words(&"plain".into()), "plain");
        assert_eq!(words(&Value::from(3_u64)), "an error without words");
    }

    #[test]
    fn a_refused_launch_has_its_meaning() {
        let refused = |words: &str| FaultKind::AppRefused { words: words.to_owned() };
        let invalid =
            "it has an invalid code signature, inadequate entitlements or its profile is not trusted";
        let cases = [
            ("Application \"x\" is unknown to FrontBoard.", FaultKind::AppMissing),
            ("Unable to launch x because the device was not, or could not be, unlocked.", FaultKind::Locked),
            (invalid, refused(invalid)),
        ];
        for (words, expected) in cases {
            assert_eq!(launch_error(words).kind(), expected, "{words}");
        }
    }

    #[test]
    fn processes_are_known_by_the_folder_of_their_bundle() {
        let app = App {
            app: holdfast_wire::phone::InstalledApp {
                bundle_id: "x".parse().unwrap_or_else(|_| unreachable!()),
                version: String::new(),
                build_number: String::new(),
            },
            executable: "Mooring".to_owned(),
            path: "/private/var/containers/Bundle/Application/1/Mooring.app".to_owned(),
        };
        let cases = [
            ("Mooring", "/private/var/containers/Bundle/Application/1/Mooring.app/Mooring", true),
            ("Mooring", "/var/containers/Bundle/Application/1/Mooring.app/Mooring", true),
            ("Share", "/var/containers/Bundle/Application/1/Mooring.app/PlugIns/Share.appex/Share", true),
            ("Mooring", "/var/containers/Bundle/Application/2/Mooring.app/Mooring", false),
            ("Mooring", "/var/containers/Bundle/Application/1/Mooring.app2/Mooring", false),
            ("Mooring", "", true),
            ("Moored", "", false),
        ];
        for (name, path, expected) in cases {
            let process = Process { pid: 1, name: name.to_owned(), path: path.to_owned() };
            assert_eq!(process.belongs_to(&app), expected, "{name} {path}");
        }
    }
}
