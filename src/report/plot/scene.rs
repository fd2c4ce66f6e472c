//! What a picture is made of, in points (1/72 inch) from its upper left corner.

/// A place: x to the right, y down.
pub(super) type Place = [f64; 2];

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// Which part of a text its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A line with round ends.
    Line {
        points: Vec<Place>,
        colour: Colour,
        width: f64,
        opacity: f64,
        is_dashed: bool,
    },
    Area {
        points: Vec<Place>,
        colour: Colour,
        opacity: f64,
    },
    /// On one line, upwards where `is_vertical`; its place is on the baseline.
    Text {
        at: Place,
        text: String,
        anchor: Anchor,
        is_vertical: bool,
    },
}

/// The ink and the gaps of a dashed line; its round ends make the ink longer.
pub(super) const DASHES: [f64; 2] = [2.5, 2.5];
pub(super) const FONT_SIZE: f64 = 9.0;
pub(super) const INK: Colour = [0x22, 0x22, 0x22];

/// A picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scene {
    pub width: f64,
    pub height: f64,
    /// What is later covers what is earlier.
    pub shapes: Vec<Shape>,
}
