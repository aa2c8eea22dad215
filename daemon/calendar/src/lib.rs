//! When something is due: cron firings, windows of time, and days that are exceptions.
//!
//! Pure: the time is an argument, zones come from the database inside the program, so that the
//! same question has the same answer on every machine. What a firing or an open window starts is
//! decided elsewhere, by the scheduler and the daemon.
//!
//! | file | what lives there |
//! |---|---|
//! | `schedule.rs` | [`Schedule`]: the firings of a cron expression in a zone, each exactly once |
//! | `expression.rs` | the text of a cron expression → sets of numbers, with errors that say the mend |
//! | `walls.rs` | the only file that knows the `cron` crate: the next matching time on a wall clock |
//! | `zone.rs` | a time zone: what the wall clock shows, and when it first shows it |
//! | `window.rs`, `clock.rs` | [`Window`]: spans that open again and again |
//! | `calendar.rs` | [`Calendar`]: several windows, holidays, days off |
//! | `day.rs` | [`Day`]: a date without a zone |
//! | `missed.rs` | [`Missed`]: what to do with firings that nobody was there for |

mod calendar;
mod clock;
mod day;
mod error;
mod expression;
mod missed;
mod schedule;
mod walls;
mod window;
mod zone;

pub use calendar::Calendar;
pub use day::Day;
pub use error::CalendarError;
pub use missed::Missed;
pub use schedule::Schedule;
pub use window::Window;
