//! A peer's queue side by side: PostgreSQL claims jobs with `FOR UPDATE SKIP LOCKED` under the same mix of class
//! constraints, a million jobs, 500 classes, 200 groups of devices, every claim durable (`synchronous_commit=on`).
//! The cluster is made for the measurement and thrown away. Once with matching work at the front of the queue, and once
//! with matching work deep in it, where the claim has to walk over what does not match.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use super::Setup;
use crate::figures::Figures;

/// Where Debian's package has its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// How long one program of the peer may take: the slowest fills a million rows.
const PROGRAM_LIMIT: Duration = Duration::from_secs(180);

/// Clients that claim at once.
const CLIENTS: [u32; 3] = [1, 16, 64];

/// The claim. A device's group, and with it the classes it may run, is its number modulo 200.
const CLAIM: &str = "WITH c AS (SELECT j.id FROM jobs j WHERE state=0 AND class IN \
    (SELECT class FROM devclass WHERE grp=:d % 200) ORDER BY prio,id LIMIT 1 FOR UPDATE OF j SKIP LOCKED) \
    UPDATE jobs SET state=1,dev=:d,gen=gen+1 FROM c WHERE jobs.id=c.id RETURNING jobs.id;\n";

/// 20 models times 10 versions are 200 groups of devices. Classes: 20 of a model, 200 of a model with a version, 280 of
/// one of two models with a version.
const CLASSES: &str = "create table devclass as
    select g as grp, g / 10 as class from generate_series(0, 199) g
    union all select g, 20 + g from generate_series(0, 199) g
    union all select g, 220 + k from generate_series(0, 199) g, generate_series(0, 279) k
    where k % 10 = g % 10 and g / 10 in ((k / 10) % 20, ((k / 10) % 20 + 3 + k / 200) % 20);
create index on devclass(grp);";

/// Jobs in the mix: 40 % a model, 40 % a model with a version, 20 % one of two with a version.
const JOBS: &str = "select setseed(0.5);
create table jobs as select i as id, 0 as prio, 0 as state, 0 as dev, 0 as gen,
    (case when share < 0.4 then place * 20 when share < 0.8 then 20 + floor(place * 200)
        else 220 + floor(place * 280) end)::int as class
    from (select i, random() as share, random() as place from generate_series(1, :jobs) i) drawn;";

/// The same, but nothing in the first tenth of the queue is for a device of the first model.
const JOBS_DEEP: &str = "update jobs set class = 199 where id <= :deep and class in
    (select class from devclass where grp < 10);";

/// Keys, statistics, and everything written out, so that no run pays for the making.
const READY: &str = "alter table jobs add primary key (id);
create index on jobs(prio, id) where state = 0;
vacuum (analyze) jobs;
vacuum (analyze) devclass;
checkpoint;";

/// Measures it.
///
/// # Errors
/// The peer is there but fails.
pub async fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    if !Path::new(PROGRAMS).join("postgres").is_file() {
        return Ok(Figures::default().without("skip_locked_claims_per_s").remark(
            "PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15), so its queue was not measured",
        ));
    }
    let cluster = Cluster::start().await?;
    let (jobs, deep, seconds) = setup.depth.of((1_000_000, 100_000, 5), (20_000, 2_000, 1));
    cluster.sql(CLASSES, jobs, deep).await?;
    cluster.sql(JOBS, jobs, deep).await?;
    cluster.sql(READY, jobs, deep).await?;
    let mut figures = Figures::default();
    let mut best = 0.0_f64;
    for clients in CLIENTS {
        let claims = cluster.claims(clients, seconds, "0, 9999").await?;
        best = best.max(claims);
        figures = figures.with(&format!("skip_locked_claims_{clients}_clients_per_s"), claims);
    }
    figures = figures.with("skip_locked_claims_per_s", best);
    cluster.sql("drop table jobs;", jobs, deep).await?;
    cluster.sql(JOBS, jobs, deep).await?;
    cluster.sql(JOBS_DEEP, jobs, deep).await?;
    cluster.sql(READY, jobs, deep).await?;
    // Devices of the first model: groups 0 to 9.
    let claims = cluster.claims(16, seconds, "0, 9").await?;
    Ok(figures.with("skip_locked_claims_deep_per_s", claims))
}

/// A throw-away cluster on a unix socket. Dropping it stops it and removes its folder.
struct Cluster {
    folder: TempDir,
}

impl Cluster {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("holdfast-pg-").tempdir()?;
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(folder.path()).status().await?;
            ensure!(owned.success(), "cannot give the folder to the user postgres");
        }
        let this = Self { folder };
        let data = this.path("data");
        this.run("initdb", &["-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", "-D", &data])
            .await?;
        let settings = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c shared_buffers=1GB \
             -c synchronous_commit=on -c max_connections=100",
            this.path("")
        );
        let log = this.path("log");
        this.run("pg_ctl", &["-D", &data, "-l", &log, "-o", &settings, "-w", "start"]).await?;
        Ok(this)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs statements of ours; `:jobs` and `:deep` are set.
    async fn sql(&self, text: &str, jobs: u32, deep: u32) -> anyhow::Result<()> {
        let text = text.replace(":jobs", &jobs.to_string()).replace(":deep", &deep.to_string());
        let host = self.path("");
        let mut words = vec!["-h", &host, "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1"];
        // Each statement of its own: VACUUM runs in no transaction.
        for statement in text.split_inclusive(';') {
            words.extend(["-c", statement]);
        }
        self.run("psql", &words).await.map(drop)
    }

    /// Claims a second by so many clients whose devices are drawn from a range.
    async fn claims(&self, clients: u32, seconds: u32, devices: &str) -> anyhow::Result<f64> {
        let script = self.path("claim.sql");
        let text = format!("\\set d random({devices})\n{CLAIM}");
        std::fs::write(&script, text).context("cannot write the claim")?;
        let (host, clients, seconds) = (self.path(""), clients.to_string(), seconds.to_string());
        let words =
            ["-h", &host, "-U", "postgres", "-n", "-M", "prepared", "-f", &script, "-c", &clients, "-j", "2"];
        let out = self.run("pgbench", &[&words[..], &["-T", &seconds, "postgres"]].concat()).await?;
        let claims =
            out.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
        claims.with_context(|| format!("pgbench tells no rate:\n{out}"))
    }

    /// Runs one of the peer's programs; its server refuses to run as root.
    async fn run(&self, name: &str, words: &[&str]) -> anyhow::Result<String> {
        let mut command = program(name);
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        // The server that pg_ctl starts keeps what it inherits, so nobody may wait for its end.
        let (out, status) = if name == "pg_ctl" {
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            (String::new(), tokio::time::timeout(PROGRAM_LIMIT, status).await.context("it takes too long")??)
        } else {
            let output = tokio::time::timeout(PROGRAM_LIMIT, command.output())
                .await
                .context("it takes too long")??;
            let said = [output.stdout, output.stderr].concat();
            (String::from_utf8_lossy(&said).into_owned(), output.status)
        };
        if !status.success() {
            bail!("{name} failed: {out}");
        }
        Ok(out)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut command = program("pg_ctl").into_std();
        command.args(["-D", &self.path("data"), "-m", "immediate", "-w", "stop"]);
        // When it cannot be stopped there is nothing left to try.
        let _stopped = command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn program(name: &str) -> Command {
    let program: PathBuf = Path::new(PROGRAMS).join(name);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

/// Whether this program runs as root: a file that it makes then belongs to user 0.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
