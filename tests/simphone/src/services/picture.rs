//! Pictures of a pretend phone: its screen, its wallpaper, the icons of its apps, each as a PNG of a few colours.
//! They say that they are simulated.

use std::io::{self, Write};

use crate::behave;
use crate::phone::{Passcode, Phone};

/// The colours of a pixel's number, red, green, blue.
const PALETTE: &[[u8; 3]] = &[
    [16, 24, 48],
    [240, 244, 255],
    [52, 120, 246],
    [48, 176, 99],
    [235, 140, 52],
    [196, 72, 92],
    [142, 96, 204],
    [120, 132, 160],
];
const NIGHT: u8 = 0;
const PAPER: u8 = 1;
const GREEN: u8 = 3;
const RED: u8 = 5;
const GREY: u8 = 7;

/// Glyphs of three by five dots: one octal digit a row, from the top.
const GLYPHS: &[(char, [u8; 5])] = &[
    ('A', [2, 5, 7, 5, 5]),
    ('B', [6, 5, 6, 5, 6]),
    ('C', [3, 4, 4, 4, 3]),
    ('D', [6, 5, 5, 5, 6]),
    ('E', [7, 4, 6, 4, 7]),
    ('F', [7, 4, 6, 4, 4]),
    ('G', [3, 4, 5, 5, 3]),
    ('H', [5, 5, 7, 5, 5]),
    ('I', [7, 2, 2, 2, 7]),
    ('J', [1, 1, 1, 5, 2]),
    ('K', [5, 5, 6, 5, 5]),
    ('L', [4, 4, 4, 4, 7]),
    ('M', [5, 7, 7, 5, 5]),
    ('N', [6, 5, 5, 5, 5]),
    ('O', [2, 5, 5, 5, 2]),
    ('P', [6, 5, 6, 4, 4]),
    ('Q', [2, 5, 5, 6, 3]),
    ('R', [6, 5, 6, 5, 5]),
    ('S', [3, 4, 2, 1, 6]),
    ('T', [7, 2, 2, 2, 2]),
    ('U', [5, 5, 5, 5, 7]),
    ('V', [5, 5, 5, 5, 2]),
    ('W', [5, 5, 7, 7, 5]),
    ('X', [5, 5, 2, 5, 5]),
    ('Y', [5, 5, 2, 2, 2]),
    ('Z', [7, 1, 2, 4, 7]),
    ('0', [7, 5, 5, 5, 7]),
    ('1', [2, 6, 2, 2, 7]),
    ('2', [6, 1, 2, 4, 7]),
    ('3', [6, 1, 2, 1, 6]),
    ('4', [5, 5, 7, 1, 1]),
    ('5', [7, 4, 6, 1, 6]),
    ('6', [3, 4, 7, 5, 7]),
    ('7', [7, 1, 2, 2, 2]),
    ('8', [7, 5, 7, 5, 7]),
    ('9', [7, 5, 7, 1, 6]),
    ('.', [0, 0, 0, 0, 2]),
    (':', [0, 2, 0, 2, 0]),
    ('-', [0, 0, 7, 0, 0]),
    ('%', [5, 1, 2, 4, 5]),
    ('(', [1, 2, 2, 2, 1]),
    (')', [4, 2, 2, 2, 4]),
];

/// The screen as it is now: time, battery, and the lock, the app in front or the icons.
pub(crate) fn screen(phone: &Phone) -> io::Result<Vec<u8>> {
    let (width, height) = phone.identity.model.screen;
    let state = phone.state();
    let mut canvas = Canvas::new(width, height, NIGHT);
    let unit = width / 90;
    let time = phone.clock.now_zoned().strftime("%H:%M").to_string();
    canvas.text(unit * 4, unit * 4, unit, &time, PAPER);
    let battery = format!("{}%", state.battery.percent);
    let colour = if state.battery.percent <= 20 { RED } else { GREEN };
    canvas.text(width - unit * 20, unit * 4, unit, &battery, colour);
    canvas.text(unit * 4, unit * 14, unit * 2, "SIMULATED", GREY);
    canvas.text(unit * 4, unit * 28, unit, &phone.identity.model.marketing_name.to_uppercase(), PAPER);
    canvas.text(unit * 4, unit * 36, unit, &format!("IOS {}", phone.identity.ios), PAPER);
    if state.passcode == Passcode::Locked {
        canvas.text(unit * 20, height / 2, unit * 2, "LOCKED", RED);
        return canvas.png();
    }
    // The app that was launched last is in front.
    if let Some(front) = behave::processes(phone).iter().rev().find_map(|process| process.app()) {
        canvas.fill(0, unit * 46, width, height - unit * 46, colour_of(&front.bundle_id));
        canvas.text(unit * 4, unit * 52, unit, &front.name.to_uppercase(), PAPER);
        canvas.text(unit * 4, unit * 60, unit, &format!("{} ({})", front.version, front.build), PAPER);
        return canvas.png();
    }
    let side = width / 6;
    for (index, app) in (0_u32..24).zip(phone.apps.all()) {
        let x = unit * 4 + (index % 4) * (side + width / 15);
        let y = unit * 50 + (index / 4) * (side + unit * 12);
        canvas.fill(x, y, side, side, colour_of(&app.bundle_id));
        let name: String = app.name.to_uppercase().chars().take(7).collect();
        canvas.text(x, y + side + unit, unit / 2, &name, PAPER);
    }
    canvas.png()
}

/// The icon of an app: its colour and its first letter.
pub(super) fn icon(bundle_id: &str, side: u32) -> io::Result<Vec<u8>> {
    let mut canvas = Canvas::new(side, side, colour_of(bundle_id));
    let letter = bundle_id.rsplit('.').next().and_then(|name| name.chars().next()).unwrap_or('-');
    canvas.text(side / 3, side / 4, side / 9, &letter.to_uppercase().to_string(), PAPER);
    canvas.png()
}

/// The wallpaper, plain.
pub(super) fn wallpaper(phone: &Phone) -> io::Result<Vec<u8>> {
    let (width, height) = phone.identity.model.screen;
    Canvas::new(width, height, NIGHT).png()
}

/// The same colour for the same app on every phone.
fn colour_of(bundle_id: &str) -> u8 {
    let sum: u32 = bundle_id.bytes().map(u32::from).sum();
    u8::try_from(2 + sum % 5).unwrap_or(GREY)
}

/// Pixels by their number in the palette.
struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(width: u32, height: u32, colour: u8) -> Self {
        Self { width, height, pixels: vec![colour; width as usize * height as usize] }
    }

    /// A rectangle; what lies outside is left out.
    fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, colour: u8) {
        for row in y..(y + height).min(self.height) {
            let start = row as usize * self.width as usize;
            let (from, to) = (x.min(self.width) as usize, (x + width).min(self.width) as usize);
            if let Some(line) = self.pixels.get_mut(start + from..start + to) {
                line.fill(colour);
            }
        }
    }

    /// One line of capitals whose dots are `dot` pixels wide.
    fn text(&mut self, x: u32, y: u32, dot: u32, text: &str, colour: u8) {
        let dot = dot.max(1);
        for (index, letter) in (0_u32..).zip(text.chars()) {
            let Some((_, rows)) = GLYPHS.iter().find(|(known, _)| *known == letter) else { continue };
            for (row, bits) in (0_u32..).zip(rows) {
                for column in 0..3_u32 {
                    if bits & (4 >> column) != 0 {
                        self.fill(x + (index * 4 + column) * dot, y + row * dot, dot, dot, colour);
                    }
                }
            }
        }
    }

    /// The PNG of the canvas: palette colours, eight bits a pixel (PNG specification, sections 11 and 12).
    fn png(&self) -> io::Result<Vec<u8>> {
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        for line in self.pixels.chunks(self.width as usize) {
            // Each line begins with the number of its filter; 0 is none.
            packer.write_all(&[0])?;
            packer.write_all(line)?;
        }
        let mut header = [self.width.to_be_bytes(), self.height.to_be_bytes()].concat();
        header.extend_from_slice(&[8, 3, 0, 0, 0]);
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut png, b"IHDR", &header);
        chunk(&mut png, b"PLTE", &PALETTE.concat());
        chunk(&mut png, b"IDAT", &packer.finish()?);
        chunk(&mut png, b"IEND", &[]);
        Ok(png)
    }
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) {
    let mut sum = flate2::Crc::new();
    sum.update(kind);
    sum.update(body);
    png.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    png.extend_from_slice(kind);
    png.extend_from_slice(body);
    png.extend_from_slice(&sum.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_a_label_has_a_glyph() {
        for letter in "SIMULATED IPHONE 14 PRO IOS 16.7 87% 12:05 LOCKED (X)-".chars() {
            assert!(letter == ' ' || GLYPHS.iter().any(|(known, _)| *known == letter), "{letter}");
        }
    }

    #[test]
    fn drawing_outside_changes_nothing_and_does_not_fail() {
        let mut canvas = Canvas::new(4, 4, NIGHT);
        canvas.fill(10, 10, 5, 5, PAPER);
        assert!(canvas.pixels.iter().all(|pixel| *pixel == NIGHT));
        canvas.fill(3, 3, 100, 100, PAPER);
        assert_eq!(canvas.pixels.iter().filter(|pixel| **pixel == PAPER).count(), 1);
    }
}
