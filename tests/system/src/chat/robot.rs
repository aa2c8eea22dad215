//! A robot of a Feishu group on this machine: it enforces the signature, its time and the size of a message as
//! open.feishu.cn documents them ("Custom bot usage guide"), and notes when each message came.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the robot demands that messages are signed with.
const SECRET: &str = "simulated-robot-of-a-test";

/// Where daemons find the address, below the robot's own folder.
const URL_FILE: &str = "url";

/// Where they find the secret.
const SECRET_FILE: &str = "secret";

/// The largest message, bytes.
const BODY_BYTES_MAX: usize = 20 * 1024;

/// How old a signature may be.
const SIGNATURE_AGE_MAX: Duration = Duration::from_secs(3_600);

/// A message that was taken.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When it came.
    pub at: SystemTime,
    /// The title of its card.
    pub title: String,
    /// Its text, as the robot's markup has it.
    pub text: String,
}

/// The robot. It stops with its last owner.
#[derive(Debug)]
pub struct Robot {
    /// Holds its address and its secret, for daemons.
    secrets: TempDir,
    room: Arc<Room>,
    count: watch::Receiver<usize>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Room {
    heard: Mutex<Vec<Heard>>,
    refused: Mutex<Vec<String>>,
    count: watch::Sender<usize>,
}

impl Robot {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let url = format!("http://{}/open-apis/bot/v2/hook/simulated-room", listener.local_addr()?);
        let (sender, count) = watch::channel(0);
        let room = Arc::new(Room { heard: Mutex::default(), refused: Mutex::default(), count: sender });
        let router =
            Router::new().route("/open-apis/bot/v2/hook/{room}", post(take)).with_state(Arc::clone(&room));
        let serving = tokio::spawn(async move {
            // It ends with the task.
            let _ended = axum::serve(listener, router).await;
        });
        let secrets = tempfile::Builder::new().prefix("holdfast-robot-").tempdir()?;
        for (name, text) in [(URL_FILE, url.as_str()), (SECRET_FILE, SECRET)] {
            write(&secrets.path().join(name), text)?;
        }
        Ok(Self { secrets, room, count, serving })
    }

    /// The `notify.yaml` by which a daemon tells this robot of crashes at launch; `people` are the addresses of authors
    /// and what the robot calls them.
    pub fn rules(&self, people: &[(&str, &str)]) -> String {
        let people: String =
            people.iter().map(|(email, id)| format!("- {{email: {email}, ids: {{chat: {id}}}}}\n")).collect();
        let people = if people.is_empty() { people } else { format!("people:\n{people}") };
        let place = |name: &str| self.secrets.path().join(name).display().to_string();
        format!(
            "receivers:\n- {{name: chat, kind: feishu, url: {{file: {}}}, secret: {{file: {}}}}}\n\
             {people}urgent: {{to: [chat]}}\n",
            place(URL_FILE),
            place(SECRET_FILE)
        )
    }

    /// What it was told so far, in the order of arrival.
    pub fn heard(&self) -> Vec<Heard> {
        self.room.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why it refused messages.
    pub fn refused(&self) -> Vec<String> {
        self.room.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it was told so often.
    ///
    /// # Errors
    /// It was not in time.
    pub async fn told(&self, times: usize, limit: Duration) -> anyhow::Result<Vec<Heard>> {
        let mut count = self.count.clone();
        let waited = tokio::time::timeout(limit, count.wait_for(|count| *count >= times)).await;
        let heard = self.heard();
        let refused = self.refused();
        waited.map(drop).with_context(|| {
            format!(
                "{} of {times} messages came within {} s; refused: {refused:?}",
                heard.len(),
                limit.as_secs()
            )
        })?;
        Ok(heard)
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Writes a file that nobody else can read: daemons refuse other secrets.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

async fn take(State(room): State<Arc<Room>>, body: Bytes) -> Json<Value> {
    let at = SystemTime::now();
    match read(&body, at) {
        Ok(heard) => {
            room.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
            room.count.send_modify(|count| *count += 1);
            Json(json!({ "code": 0, "msg": "success", "data": {} }))
        }
        // Refusals have a status of 200 as well.
        Err((code, why)) => {
            room.refused.lock().unwrap_or_else(PoisonError::into_inner).push(why.to_owned());
            Json(json!({ "code": code, "msg": why }))
        }
    }
}

fn read(body: &[u8], at: SystemTime) -> Result<Heard, (i64, &'static str)> {
    if body.len() > BODY_BYTES_MAX {
        return Err((11_246, "card too large"));
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| (9_499, "Bad Request"))?;
    let text = |path: &str| body.pointer(path).and_then(Value::as_str);
    let bad = (19_021, "sign match fail or timestamp is not within one hour from current time");
    let (time, sign) = (text("/timestamp").ok_or(bad)?, text("/sign").ok_or(bad)?);
    let signed_at = SystemTime::UNIX_EPOCH + Duration::from_secs(time.parse().map_err(|_| bad)?);
    let age = at.duration_since(signed_at).unwrap_or_else(|ahead| ahead.duration());
    // The key is the time and the secret, and nothing is signed with it.
    let key = hmac::Key::new(hmac::HMAC_SHA256, format!("{time}\n{SECRET}").as_bytes());
    if age > SIGNATURE_AGE_MAX || sign != STANDARD.encode(hmac::sign(&key, b"")) {
        return Err(bad);
    }
    let unknown = (19_024, "msg_type and card do not fit");
    Ok(Heard {
        at,
        title: text("/card/header/title/content").ok_or(unknown)?.to_owned(),
        text: text("/card/body/elements/0/content").ok_or(unknown)?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_signed_with_the_secret_within_the_hour_is_taken() {
        // Made with `openssl dgst -sha256 -mac HMAC -macopt key:$'1795000000\nsimulated-robot-of-a-test'`.
        let sign = "62Kqkhh/6eHDaxTTYoKTmFHqT27CMw5wK9+eYZYRmg4=";
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_060);
        let message = |time: &str, sign: &str| {
            json!({ "timestamp": time, "sign": sign, "card": { "header": { "title": { "content": "t" } },
                "body": { "elements": [{ "content": "c" }] } } })
            .to_string()
        };
        let table = [
            (message("1795000000", sign), now, Ok("t")),
            (message("1795000001", sign), now, Err(19_021)),
            (message("1795000000", "c2lnbg=="), now, Err(19_021)),
            (message("1795000000", sign), now + SIGNATURE_AGE_MAX, Err(19_021)),
            ("{}".to_owned(), now, Err(19_021)),
            ("no JSON".to_owned(), now, Err(9_499)),
            (" ".repeat(BODY_BYTES_MAX + 1), now, Err(11_246)),
        ];
        for (body, at, expected) in table {
            let found = read(body.as_bytes(), at).map(|heard| heard.title).map_err(|(code, _)| code);
            assert_eq!(found, expected.map(str::to_owned), "{}", body.get(..100).unwrap_or(&body));
        }
    }
}
