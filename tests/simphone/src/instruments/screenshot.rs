//! The screenshot channel. Drawing the picture is in [`services`](crate::services).

use std::sync::Arc;

use super::latency;
use crate::archive::{NsError, Object};
use crate::dtx::{Answer, Call, Channel};
use crate::phone::Phone;
use crate::service::BoxFuture;
use crate::services::screen;

pub(super) const NAME: &str = "com.apple.instruments.server.services.screenshot";

/// The channel.
pub(super) struct Screenshot {
    phone: Arc<Phone>,
}

impl Screenshot {
    pub(super) fn new(phone: Arc<Phone>) -> Self {
        Self { phone }
    }
}

impl Channel for Screenshot {
    fn call<'a>(&'a mut self, call: &'a Call) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            latency(&self.phone).await;
            if call.selector != "takeScreenshot" {
                return Err(call.not_understood());
            }
            let picture = screen(&self.phone);
            picture
                .map(|picture| Some(Object::Data(picture)))
                .map_err(|error| NsError::new("DTServiceHubErrorDomain", 1, &error.to_string()))
        })
    }
}
