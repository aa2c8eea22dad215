//! Serves the pages of a made-up farm, so that they can be looked at and changed without one:
//! `cargo run -p holdfastd --example pages`. It prints its address and moves a little every second.

#![expect(clippy::unwrap_used, reason = "the made-up farm is shared with tests")]

#[path = "../tests/dashboard/samples.rs"]
mod samples;

use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::time::Time;
use holdfastd::dashboard::routes;
use samples::Sample;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sample = Arc::new(Sample::new());
    let stop = CancellationToken::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/", listener.local_addr()?);
    tokio::spawn(live(sample.clone()));
    let router: axum::Router = routes(sample, stop.clone());
    let ended = async move {
        // Without the signal there is nothing to wait for.
        let _signal = tokio::signal::ctrl_c().await;
        stop.cancel();
    };
    axum::serve(listener, router).with_graceful_shutdown(ended).await?;
    Ok(())
}

/// Moves progress on and the clock with it.
async fn live(sample: Arc<Sample>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        sample.change(|picture| {
            picture.now = Time::from_unix_ms(picture.now.as_unix_ms() + 1_000);
            let running =
                picture.jobs.iter_mut().filter_map(|job| job.attempts.last_mut()?.progress.as_mut());
            let busy = picture.phones.iter_mut().filter_map(|phone| phone.progress.as_mut());
            running.chain(busy).for_each(|progress| progress.percent = (progress.percent + 2) % 101);
        });
    }
}
