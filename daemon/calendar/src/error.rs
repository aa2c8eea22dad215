//! What can be wrong with a schedule, a window or a calendar that a person wrote.

/// A mistake in the text of a schedule, a window or a calendar; each says the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Not five fields and not six.
    #[error(
        "\"{expression}\" has {found} fields: write five (minute hour day month weekday, as in \"30 2 * * Mon-Fri\") \
         or six with the second first; years are not supported"
    )]
    FieldCount {
        /// The expression as it was written.
        expression: String,
        /// How many fields it has.
        found: usize,
    },
    /// One field of a cron expression cannot be read.
    #[error("cannot read the {field} field of \"{expression}\": \"{found}\" {mend}")]
    Field {
        /// The expression as it was written.
        expression: String,
        /// Which field: `second`, `minute`, `hour`, `day`, `month` or `weekday`.
        field: &'static str,
        /// The part of the field that is wrong.
        found: String,
        /// Why it is wrong and what to write instead.
        mend: String,
    },
    /// A word that begins with `@` and stands for nothing here.
    #[error("\"{found}\" is no schedule: write @hourly, @daily, @weekly, @monthly, @yearly, or five fields")]
    Shorthand {
        /// The word as it was written.
        found: String,
    },
    /// No such zone in the time zone database.
    #[error(
        "there is no time zone \"{zone}\": write a name of the IANA database, such as Europe/Berlin or UTC"
    )]
    UnknownZone {
        /// The name as it was written.
        zone: String,
    },
    /// A window by the clock that cannot be read.
    #[error("cannot read the window \"{window}\": \"{found}\" {mend}")]
    Clock {
        /// The window as it was written.
        window: String,
        /// The part that is wrong.
        found: String,
        /// Why it is wrong and what to write instead.
        mend: String,
    },
    /// A window that is open for no time, or for longer than a window may be.
    #[error(
        "a window of {seconds} s cannot be: it must be open for at least a second and at most {seconds_max} s"
    )]
    Duration {
        /// The length that was asked for, in whole seconds.
        seconds: u64,
        /// The longest that a window may be, in seconds.
        seconds_max: u64,
    },
    /// A date that cannot be read or that no calendar has.
    #[error("\"{found}\" is no date: write year-month-day, such as 2026-12-25")]
    Day {
        /// The text as it was written.
        found: String,
    },
    /// One day is asked to be open and shut.
    #[error("{day} is listed both as open and as shut: take it out of one list")]
    DayTwice {
        /// The day in question, as `2026-12-25`.
        day: String,
    },
}
