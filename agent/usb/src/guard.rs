//! A fence around every operation on a phone: a deadline, and a panic that stays with this phone. Which deadline
//! an operation has is said in [`settings`](crate::settings).

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use holdfast_device::{Fault, FaultKind};

use crate::error::UsbError;

/// Runs one operation. When time is over or the code panics, the future is dropped with every connection it holds:
/// a half-read answer must never be taken for the next one.
pub(crate) async fn guarded<T>(
    operation: &str,
    limit: Duration,
    work: impl Future<Output = Result<T, UsbError>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome.map_err(|error| error.during(operation)),
        Ok(Err(panic)) => Err(Fault::new(operation, FaultKind::Panicked { what: words(panic.as_ref()) })),
        Err(_elapsed) => Err(UsbError::Silent { waited_ms: millis(limit) }.during(operation)),
    }
}

/// One wait inside a long operation: `Silent` after `limit`.
pub(crate) async fn heard<T>(
    limit: Duration,
    wait: impl Future<Output = Result<T, UsbError>>,
) -> Result<T, UsbError> {
    let answer = tokio::time::timeout(limit, wait).await;
    answer.unwrap_or_else(|_elapsed| Err(UsbError::Silent { waited_ms: millis(limit) }))
}

/// Whole milliseconds of a duration.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
#[expect(clippy::panic, reason = "a panic is what is tested")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_fault() {
        let outcome: Result<(), Fault> =
            guarded("look", Duration::from_secs(5), async { panic!("bad key") }).await;
        assert_eq!(
            outcome.map_err(|fault| fault.kind),
            Err(FaultKind::Panicked { what: "bad key".to_owned() })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_becomes_a_fault_and_drops_what_was_held() {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let work = async move {
            let _held = held;
            std::future::pending::<Result<(), UsbError>>().await
        };
        let outcome = guarded("look", Duration::from_secs(3), work).await;
        assert_eq!(outcome.map_err(|fault| fault.kind), Err(FaultKind::Silent { waited_ms: 3000 }));
        assert!(dropped.await.is_err(), "the connection outlived its operation");
    }
}
