//! The graphics channel: frames a second. How busy an app is, is told in [`usage`](super::usage).

use std::sync::Arc;

use super::sampling::{self, Sampler};
use super::{latency, usage};
use crate::archive::Object;
use crate::dtx::{Answer, Call, Channel, Events};
use crate::phone::Phone;
use crate::service::BoxFuture;

pub(super) const NAME: &str = "com.apple.instruments.server.services.graphics.opengl";

/// How often a sample is sent when nothing else is asked for.
const INTERVAL_MS: u64 = 1_000;

/// The rate is given in tenths of a second.
const RATE_MS: u64 = 100;

/// The channel.
pub(super) struct Graphics {
    phone: Arc<Phone>,
    events: Events,
    interval_ms: u64,
    running: Option<Sampler>,
}

impl Graphics {
    pub(super) fn new(phone: Arc<Phone>, events: Events) -> Self {
        Self { phone, events, interval_ms: INTERVAL_MS, running: None }
    }

    fn start(&mut self, seconds: Option<i64>) {
        let asked = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        let interval_ms = asked.map_or(self.interval_ms, |seconds| seconds.saturating_mul(1_000));
        let phone = Arc::clone(&self.phone);
        self.running =
            Some(sampling::start(self.events.clone(), interval_ms, move |number| row(&phone, number)));
    }
}

impl Channel for Graphics {
    fn call<'a>(&'a mut self, call: &'a Call) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            latency(&self.phone).await;
            match call.selector.as_str() {
                "setSamplingRate:" => {
                    let rate = call.argument(0).as_i64().and_then(|rate| u64::try_from(rate).ok());
                    self.interval_ms = rate.unwrap_or_default().saturating_mul(RATE_MS);
                    Ok(None)
                }
                "startSamplingAtTimeInterval:" => {
                    self.start(call.argument(0).as_i64());
                    Ok(None)
                }
                "stopSampling" => {
                    self.running = None;
                    Ok(None)
                }
                "availableStatistics" => {
                    let names = row(&self.phone, 0);
                    let Object::Dictionary(entries) = names else { return Ok(None) };
                    Ok(Some(Object::Array(entries.into_iter().map(|(name, _)| name).collect())))
                }
                _ => Err(call.not_understood()),
            }
        })
    }
}

fn row(phone: &Phone, number: u64) -> Object {
    let frames = usage::frames_per_second(phone, number);
    let renderer = usage::percent(number, 3, 8, 40);
    Object::dictionary([
        ("CoreAnimationFramesPerSecond", Object::from(frames)),
        ("Device Utilization %", Object::from(usage::percent(number, 1, 10, 45))),
        ("Renderer Utilization %", Object::from(renderer)),
        ("Tiler Utilization %", Object::from(usage::percent(number, 2, 4, 30))),
        ("Alloc system memory", Object::from(310_000_000 + number % 17 * 65_536)),
        ("In use system memory", Object::from(84_000_000 + number % 11 * 65_536)),
        ("recoveryCount", Object::from(0_u64)),
        ("SplitSceneCount", Object::from(0_u64)),
        ("TiledSceneBytes", Object::from(0_u64)),
        ("XRVideoCardRunTimeStamp", Object::from(number.wrapping_mul(1_000_000))),
    ])
}
