//! One AFC connection: requests are read ahead while earlier ones are performed, one at a time and in order.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::files::{Files, Kind};
use super::jail::Jail;
use super::packet;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// How many requests may wait. A client that pipelines writes keeps the link busy while one is performed; a packet
/// has a size limit of its own, so this bounds the memory of a connection.
const READ_AHEAD: usize = 4;

/// Serves one connection on the files of a jail.
pub(super) async fn serve(
    stream: BoxStream,
    phone: Arc<Phone>,
    jail: Jail,
    kind: Kind,
) -> Result<(), ServiceError> {
    let (mut from_client, mut to_client) = tokio::io::split(stream);
    let (queue, mut requests) = mpsc::channel(READ_AHEAD);
    let reading = async move {
        while let Some(request) = packet::read(&mut from_client).await? {
            if queue.send(request).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let performing = async move {
        let mut files = Files::new(Arc::clone(&phone), jail, kind);
        while let Some(request) = requests.recv().await {
            let latency = phone.faults.latency();
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            let reply = files.perform(&request);
            packet::write(&mut to_client, request.number, reply).await?;
        }
        Ok(())
    };
    tokio::try_join!(reading, performing).map(|((), ())| ())
}
