//! Bars on an axis of time, drawn as SVG without a style of its own: colours come from the style sheet by class. What is
//! drawn, and the words beside it, come from the pages.

use holdfast_wire::time::Time;
use maud::{Markup, html};

/// A drawing is this wide; the style sheet stretches it to the room there is.
const WIDTH: i64 = 1_000;

/// A drawing is this high.
const HEIGHT: i64 = 16;

/// Nothing is drawn narrower than this, or it could not be seen.
const NARROWEST: i64 = 2;

/// Drawings are made for moments so far apart, ms: a page that only grows older is not sent again with every look.
const STEP_MS: i64 = 30_000;

/// Lengths that an axis may have, in seconds, with how many equal pieces it then has and what one of them is called.
const LENGTHS: [(i64, u32, &str); 10] = [
    (600, 5, "2 min"),
    (1_800, 6, "5 min"),
    (3_600, 6, "10 min"),
    (2 * 3_600, 4, "30 min"),
    (4 * 3_600, 4, "1 h"),
    (12 * 3_600, 6, "2 h"),
    (24 * 3_600, 6, "4 h"),
    (3 * 86_400, 3, "1 day"),
    (7 * 86_400, 7, "1 day"),
    (28 * 86_400, 4, "1 week"),
];

/// A span of time that is drawn from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    from_ms: i64,
    length_ms: i64,
    pieces: u32,
    piece: &'static str,
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    /// Where it begins.
    pub(crate) from: Time,
    /// Where it ends.
    pub(crate) to: Time,
    /// Its look: classes of the style sheet.
    pub(crate) look: String,
    /// How high it is, of sixteen: a second mark beside the colour.
    pub(crate) height: u8,
    /// What it says on hover.
    pub(crate) words: String,
}

impl Axis {
    /// From about `now` on, long enough for `furthest`, as far as any axis goes.
    pub(crate) fn ahead(now: Time, furthest: Time) -> Self {
        let from_ms = step(now);
        let needed = furthest.as_unix_ms().saturating_sub(from_ms);
        let fits = LENGTHS.iter().find(|(seconds, ..)| seconds * 1_000 >= needed);
        let (seconds, pieces, piece) = *fits.unwrap_or(&LENGTHS[LENGTHS.len() - 1]);
        Self { from_ms, length_ms: seconds * 1_000, pieces, piece }
    }

    /// The last hours before about `now`.
    pub(crate) fn hours_back(now: Time, hours: u32) -> Self {
        let length_ms = i64::from(hours) * 3_600_000;
        Self { from_ms: step(now) - length_ms, length_ms, pieces: hours, piece: "1 h" }
    }

    /// What one piece of it is called.
    pub(crate) fn piece(&self) -> &'static str {
        self.piece
    }

    /// How many pieces it has.
    pub(crate) fn pieces(&self) -> u32 {
        self.pieces
    }

    /// How much of it lies between the two, in hundredths.
    pub(crate) fn percent(&self, spans: impl Iterator<Item = (Time, Time)>) -> i64 {
        let covered: i64 = spans.map(|(from, to)| (self.clipped(to) - self.clipped(from)).max(0)).sum();
        (covered * 100 / self.length_ms.max(1)).min(100)
    }

    /// Bars on the axis, with lines where its pieces meet. `label` says the same in words.
    pub(crate) fn draw(&self, label: &str, bars: &[Bar]) -> Markup {
        let pieces = i64::from(self.pieces.max(1));
        html! {
            svg.axis viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                @for line in 1..pieces {
                    path.grid d={ "M" (WIDTH * line / pieces) " 0V" (HEIGHT) } {}
                }
                @for bar in bars {
                    @let (left, right) = (self.place(bar.from), self.place(bar.to));
                    @let height = i64::from(bar.height).min(HEIGHT);
                    // What lies wholly outside is not drawn.
                    @if bar.to.as_unix_ms() >= self.from_ms && bar.from.as_unix_ms() <= self.from_ms + self.length_ms {
                        rect class=(bar.look) x=(left.min(WIDTH - NARROWEST)) y=((HEIGHT - height) / 2)
                            width=((right - left).max(NARROWEST)) height=(height) { title { (bar.words) } }
                    }
                }
            }
        }
    }

    fn clipped(&self, at: Time) -> i64 {
        (at.as_unix_ms() - self.from_ms).clamp(0, self.length_ms)
    }

    fn place(&self, at: Time) -> i64 {
        self.clipped(at) * WIDTH / self.length_ms.max(1)
    }
}

fn step(now: Time) -> i64 {
    now.as_unix_ms().div_euclid(STEP_MS) * STEP_MS
}

/// Parts of a whole, one after the other; each with its look.
pub(crate) fn shares(label: &str, whole: u64, parts: &[(u64, String)]) -> Markup {
    let whole = whole.max(parts.iter().map(|(size, _)| size).sum()).max(1);
    let width = |size: u64| i64::try_from(u128::from(size) * 1_000 / u128::from(whole)).unwrap_or(WIDTH);
    let mut left = 0;
    html! {
        svg.axis.shares viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.track x="0" y="4" width=(WIDTH) height="8" {}
            @for (size, look) in parts {
                @let from = left;
                @let () = left += width(*size);
                @if *size > 0 { rect class=(look) x=(from) y="4" width=(width(*size).max(NARROWEST)) height="8" {} }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_unix_ms(1_795_230_000_000 + seconds * 1_000)
    }

    #[test]
    fn an_axis_is_as_long_as_what_is_on_it_needs() {
        for (furthest, length, piece) in [
            (0, 600, "2 min"),
            (601, 1_800, "5 min"),
            (90_000, 3 * 86_400, "1 day"),
            (i64::MAX / 4_000, 28 * 86_400, "1 week"),
        ] {
            let axis = Axis::ahead(at(0), at(furthest.min(10_000_000_000)));
            assert_eq!((axis.length_ms, axis.piece), (length * 1_000, piece), "{furthest}");
        }
    }

    #[test]
    fn bars_lie_where_their_time_is_and_never_outside() {
        let axis = Axis::ahead(at(0), at(600));
        let bar = |from, to| Bar {
            from: at(from),
            to: at(to),
            look: "x".to_owned(),
            height: 16,
            words: String::new(),
        };
        let cases = [
            (bar(0, 300), Some("x=\"0\" y=\"0\" width=\"500\"")),
            (bar(300, 9_000), Some("x=\"500\" y=\"0\" width=\"500\"")),
            (bar(-50, 60), Some("x=\"0\" y=\"0\" width=\"100\"")),
            (bar(600, 600), Some("x=\"998\" y=\"0\" width=\"2\"")),
            (bar(700, 800), None),
            (bar(-80, -40), None),
        ];
        for (bar, expected) in cases {
            let drawn = axis.draw("label", std::slice::from_ref(&bar)).into_string();
            match expected {
                Some(expected) => assert!(drawn.contains(expected), "{bar:?}: {drawn}"),
                None => assert!(!drawn.contains("<rect"), "{bar:?}: {drawn}"),
            }
        }
    }

    #[test]
    fn a_drawing_stays_as_it_is_for_half_a_minute() {
        let draw = |seconds| Axis::ahead(at(seconds), at(500)).draw("", &[]).into_string();
        assert_eq!(Axis::ahead(at(0), at(500)), Axis::ahead(at(29), at(500)));
        assert_ne!(Axis::ahead(at(0), at(500)), Axis::ahead(at(30), at(500)));
        assert_eq!(draw(0).matches("class=\"grid\"").count(), 4);
    }

    #[test]
    fn shares_never_reach_beyond_the_whole() {
        let drawn =
            shares("", 4, &[(1, "a".to_owned()), (0, "b".to_owned()), (2, "c".to_owned())]).into_string();
        assert!(drawn.contains("class=\"a\" x=\"0\" y=\"4\" width=\"250\""), "{drawn}");
        assert!(drawn.contains("class=\"c\" x=\"250\" y=\"4\" width=\"500\""), "{drawn}");
        assert!(!drawn.contains("class=\"b\""), "{drawn}");
        let over = shares("", 4, &[(9, "a".to_owned())]).into_string();
        assert!(over.contains("width=\"1000\" height=\"8\"></rect></svg>"), "{over}");
    }

    #[test]
    fn what_was_covered_is_counted_inside_the_axis_alone() {
        let axis = Axis::hours_back(at(0), 4);
        let hour = 3_600;
        assert_eq!(axis.percent([(at(-2 * hour), at(-hour))].into_iter()), 25);
        assert_eq!(axis.percent([(at(-9 * hour), at(-3 * hour)), (at(-hour), at(hour))].into_iter()), 50);
    }
}
