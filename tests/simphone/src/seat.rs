//! One place of a rack: it alone plugs its phone in and out, at once or by a plan. What is on the bus is kept in
//! [`rack`](crate::rack); what flows through the cable is in [`cable`](crate::cable).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::cable::Cable;
use crate::events::Event;
use crate::phone::{Phone, PowerRequest};
use crate::rack::Rack;

/// How long a phone that was asked to restart goes on, so that the answer reaches the client.
const BEFORE_RESTART: Duration = Duration::from_millis(200);

/// How many times a flapping port may come and go in one order.
pub const FLAPS_MAX: u32 = 1_000;

/// What a place is told to do with its phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Plug it in.
    Attach,
    /// Pull it out, and plug it in again after a while or never.
    Detach {
        /// After how long it comes back by itself.
        back_after: Option<Duration>,
    },
    /// Pull it out and end its boot with everything that runs; it comes back with a new one.
    Reboot {
        /// How long it is away.
        away: Duration,
    },
    /// Pull it out and plug it in again and again.
    Flap {
        /// How often, at most [`FLAPS_MAX`].
        times: u32,
        /// How long it is out each time.
        out: Duration,
        /// How long it is in each time.
        in_for: Duration,
    },
}

/// One place of a rack.
#[derive(Debug)]
pub struct Seat {
    cable: Arc<Cable>,
    orders: mpsc::UnboundedSender<(Order, oneshot::Sender<()>)>,
}

/// The receiving ends that [`Seat::run`] serves.
#[derive(Debug)]
pub struct Inbox {
    orders: mpsc::UnboundedReceiver<(Order, oneshot::Sender<()>)>,
    power: mpsc::UnboundedReceiver<PowerRequest>,
    upload_reached: mpsc::UnboundedReceiver<()>,
}

impl Seat {
    /// A place with a phone that is not yet plugged in.
    #[must_use]
    pub fn new(phone: Arc<Phone>, power: mpsc::UnboundedReceiver<PowerRequest>) -> (Self, Inbox) {
        let (cable, upload_reached) = Cable::new(phone);
        let (sender, orders) = mpsc::unbounded_channel();
        (Self { cable: Arc::new(cable), orders: sender }, Inbox { orders, power, upload_reached })
    }

    /// The phone's cable.
    #[must_use]
    pub fn cable(&self) -> &Arc<Cable> {
        &self.cable
    }

    /// The phone.
    #[must_use]
    pub fn phone(&self) -> &Arc<Phone> {
        self.cable.phone()
    }

    /// Carries out an order; returns when its first step is done.
    pub async fn order(&self, order: Order) {
        let (done, wait) = oneshot::channel();
        if self.orders.send((order, done)).is_ok() {
            // An error means that the rack is being closed, and then the phone is out anyway.
            let _closed = wait.await;
        }
    }
}

enum Step {
    Attach,
    Detach,
    EndBoot,
}

/// Serves the orders of one place until the rack closes.
pub async fn run(rack: Arc<Rack>, position: usize, mut inbox: Inbox) {
    let mut plan: VecDeque<(Instant, Step)> = VecDeque::new();
    let closing = rack.closing().clone();
    loop {
        let due = plan.front().map(|(at, _)| *at);
        let planned = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = closing.cancelled() => return,
            order = inbox.orders.recv() => {
                let Some((order, done)) = order else { return };
                plan = plan_for(order);
                act_on_due(&rack, position, &mut plan);
                // Whoever gave the order may have stopped waiting.
                let _nobody = done.send(());
            }
            Some(request) = inbox.power.recv() => plan = plan_for_power(&rack, position, request).unwrap_or(plan),
            Some(()) = inbox.upload_reached.recv() => {
                let back_after = rack.seats()[position].phone().faults.back_after_upload_cut();
                plan = plan_for(Order::Detach { back_after });
                act_on_due(&rack, position, &mut plan);
            }
            () = planned => act_on_due(&rack, position, &mut plan),
        }
    }
}

fn plan_for(order: Order) -> VecDeque<(Instant, Step)> {
    let now = Instant::now();
    match order {
        Order::Attach => [(now, Step::Attach)].into(),
        Order::Detach { back_after } => {
            let back = back_after.map(|after| (now + after, Step::Attach));
            std::iter::once((now, Step::Detach)).chain(back).collect()
        }
        Order::Reboot { away } => {
            [(now, Step::Detach), (now, Step::EndBoot), (now + away, Step::Attach)].into()
        }
        Order::Flap { times, out, in_for } => {
            let one = out + in_for;
            (0..times.min(FLAPS_MAX))
                .flat_map(|flap| {
                    let start = now + one * flap;
                    [(start, Step::Detach), (start + out, Step::Attach)]
                })
                .collect()
        }
    }
}

/// `None` when the request changes nothing that can be seen from outside.
fn plan_for_power(rack: &Rack, position: usize, request: PowerRequest) -> Option<VecDeque<(Instant, Step)>> {
    let leaves = Instant::now() + BEFORE_RESTART;
    let away = rack.seats()[position].phone().faults.restart_takes();
    match request {
        PowerRequest::Restart => {
            Some([(leaves, Step::Detach), (leaves, Step::EndBoot), (leaves + away, Step::Attach)].into())
        }
        PowerRequest::Shutdown | PowerRequest::Recovery => {
            Some([(leaves, Step::Detach), (leaves, Step::EndBoot)].into())
        }
        PowerRequest::Sleep => None,
    }
}

fn act_on_due(rack: &Rack, position: usize, plan: &mut VecDeque<(Instant, Step)>) {
    let now = Instant::now();
    while let Some((_, step)) = plan.pop_front_if(|(at, _)| *at <= now) {
        let phone = rack.seats()[position].phone();
        match step {
            Step::Attach => {
                if let Some(device_id) = rack.attach(position) {
                    phone.events.record(Event::Attached { device_id });
                }
            }
            Step::Detach => {
                if rack.detach(position) {
                    phone.events.record(Event::Detached);
                }
            }
            Step::EndBoot => phone.boot_again(),
        }
    }
}
