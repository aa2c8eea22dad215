//! Listening to a phone's log for what it says of crash files, as long as the phone is here. What follows from it is
//! the phone's task's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_attempt::LogNote;
use holdfast_device::Phone;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::PhoneMessage;

/// Lines that wait to be read by the phone's task; in a storm the oldest are dropped, because the newest counts.
const NOTES_MAX: usize = 256;

/// Ears that listen until they are dropped.
#[derive(Debug)]
pub(super) struct Ears {
    notes: Arc<Notes>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Notes {
    waiting: Mutex<VecDeque<LogNote>>,
    /// The task knows that there are some: it is told once, however many there are.
    is_told: AtomicBool,
}

impl Ears {
    /// Listens, and after an end again. The owner of `mailbox` is told that there is something to [`Ears::take`].
    pub(super) fn listen<P: Phone>(
        phone: Arc<P>,
        mailbox: mpsc::WeakSender<PhoneMessage<P>>,
        retry_every: Duration,
    ) -> Self {
        let notes = Arc::new(Notes::default());
        let heard = Arc::clone(&notes);
        let task = tokio::spawn(async move {
            loop {
                let tell = |message: &str| {
                    if let Some(note) = LogNote::parse(message) {
                        heard.keep(note, &mailbox);
                    }
                };
                if let Err(fault) = phone.crash_log(&tell).await {
                    tracing::debug!(phone = %phone.udid(), %fault, "its log is not heard; sweeps find its crash files");
                }
                tokio::time::sleep(retry_every).await;
            }
        });
        Self { notes, task }
    }

    /// What was heard since the last time, the oldest first.
    pub(super) fn take(&self) -> VecDeque<LogNote> {
        self.notes.is_told.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.notes.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Notes {
    fn keep<P>(&self, note: LogNote, mailbox: &mpsc::WeakSender<PhoneMessage<P>>) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= NOTES_MAX {
                waiting.pop_front();
            }
            waiting.push_back(note);
        }
        if self.is_told.swap(true, Ordering::SeqCst) {
            return;
        }
        let told = mailbox.upgrade().is_some_and(|mailbox| mailbox.try_send(PhoneMessage::LogSpoke).is_ok());
        if !told {
            // Its mailbox is full: the next line tells it.
            self.is_told.store(false, Ordering::SeqCst);
        }
    }
}
