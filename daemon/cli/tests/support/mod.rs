//! A stand-in for the daemon, and the program run against it. What it serves is in `farm`
//! and `rules`; no test lives here.

pub(crate) mod farm;
pub(crate) mod rules;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use futures_util::stream;
use serde::Serialize;
use tokio::runtime::Runtime;

/// No command of a test takes longer, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);

/// The largest body that a test sends.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A daemon that gives prepared answers and remembers what it was asked. Dropped, its port is closed.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, (u16, Bytes)>>,
    asked: Mutex<Vec<Asked>>,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// `GET /api/v1/jobs?limit=50`
    pub(crate) what: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) body: Bytes,
}

impl StandIn {
    /// On a free port of this machine; every answer is 404 until it is told.
    pub(crate) fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into())
    }

    /// As [`Self::start`], at this address.
    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        runtime.spawn(axum::serve(listener, router).into_future());
        Self { address, shared, _runtime: runtime }
    }

    /// From now on this is the answer (`GET /api/v1/jobs`).
    pub(crate) fn tell(&self, what: &str, status: u16, document: &impl Serialize) {
        self.tell_bytes(what, status, &serde_json::to_vec(document).unwrap());
    }

    /// As [`Self::tell`], with these bytes.
    pub(crate) fn tell_bytes(&self, what: &str, status: u16, bytes: &[u8]) {
        let answer = (status, Bytes::copy_from_slice(bytes));
        self.shared.answers.lock().unwrap().insert(what.to_owned(), answer);
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        run(self.command(words))
    }

    /// Starts the program.
    pub(crate) fn spawn(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = program(Path::new(env!("CARGO_BIN_EXE_holdfast")), words);
        command.env("HOLDFAST_SERVER", format!("http://{}", self.address));
        command
    }
}

/// The program at this path, in an environment that no developer's machine disturbs.
pub(crate) fn program(path: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(words).env_remove("HOLDFAST_SERVER").env_remove("CLICOLOR_FORCE").stdin(Stdio::null());
    command
}

/// Runs a command to its end, which must come in time.
pub(crate) fn run(command: Command) -> Ran {
    Ran::from(assert_cmd::Command::from_std(command).timeout(LIMIT).output().unwrap())
}

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let ran = Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains('\u{1b}'), "off a terminal nothing is coloured or drawn: {text:?}");
            assert!(text.lines().all(|line| line == line.trim_end()), "a line ends in spaces: {text:?}");
        }
        ran
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = format!("{} {}", head.method, head.uri.path());
    if path == "GET /api/v1/changes" {
        // There is never any news: the program looks by itself, too.
        return Response::new(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
    }
    let key = head.headers.get(holdfast_wire::api::IDEMPOTENCY_KEY);
    let asked = Asked {
        what: format!("{} {}", head.method, head.uri),
        idempotency_key: key.map(|key| key.to_str().unwrap().to_owned()),
        body: axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap(),
    };
    shared.asked.lock().unwrap().push(asked);
    let found = shared.answers.lock().unwrap().get(&path).cloned();
    let (status, bytes) = found.unwrap_or_else(|| {
        let problem = farm::problem(404, "not-found", &format!("there is nothing at {}", head.uri.path()));
        (404, Bytes::from(serde_json::to_vec(&problem).unwrap()))
    });
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(Body::from(bytes)).unwrap()
}
