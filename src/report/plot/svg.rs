//! Pictures as SVG.

use std::fmt::Write as _;

use crate::report::plot::scene::{Anchor, Colour, DASHES, FONT_SIZE, INK, Place, Scene, Shape};

/// The same scene always gives the same text.
pub(super) fn svg(scene: &Scene, title: &str) -> String {
    let (width, height) = (number(scene.width), number(scene.height));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}pt\" height=\"{height}pt\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"Roboto, Helvetica, Arial, sans-serif\" \
         font-size=\"{FONT_SIZE}\" stroke-linecap=\"round\" stroke-linejoin=\"round\">\n\
         <title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escaped(title)
    );
    for shape in &scene.shapes {
        write_shape(&mut svg, shape);
    }
    svg.push_str("</svg>\n");
    svg
}

fn write_shape(svg: &mut String, shape: &Shape) {
    // Writing to a String cannot fail.
    let _ = match shape {
        Shape::Line {
            points,
            colour,
            width,
            opacity,
            is_dashed,
        } => {
            let dashes = match is_dashed {
                true => format!(" stroke-dasharray=\"{} {}\"", DASHES[0], DASHES[1]),
                false => String::new(),
            };
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{}{dashes}/>",
                places(points),
                hex(*colour),
                number(*width),
                opaque("stroke", *opacity),
            )
        }
        Shape::Area {
            points,
            colour,
            opacity,
        } => writeln!(
            svg,
            "<polygon points=\"{}\" fill=\"{}\"{}/>",
            places(points),
            hex(*colour),
            opaque("fill", *opacity),
        ),
        Shape::Text {
            at: [x, y],
            text,
            anchor,
            is_vertical,
        } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let (x, y) = (number(*x), number(*y));
            let turned = match is_vertical {
                true => format!(" transform=\"rotate(-90 {x} {y})\""),
                false => String::new(),
            };
            let (fill, text) = (hex(INK), escaped(text));
            writeln!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{fill}\"{turned}>{text}</text>"
            )
        }
    };
}

fn places(points: &[Place]) -> String {
    let places = points
        .iter()
        .map(|[x, y]| format!("{},{}", number(*x), number(*y)));
    places.collect::<Vec<_>>().join(" ")
}

/// With at most two decimals.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn opaque(what: &str, opacity: f64) -> String {
    match opacity < 1.0 {
        true => format!(" {what}-opacity=\"{}\"", number(opacity)),
        false => String::new(),
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_are_written_safely() {
        assert_eq!(escaped("<a b=\"&\">"), "&lt;a b=&quot;&amp;&quot;&gt;");
        let numbers = [
            (1.0, "1"),
            (-0.001, "0"),
            (2.126, "2.13"),
            (100.0, "100"),
            (-1.5, "-1.5"),
        ];
        for (value, expected) in numbers {
            assert_eq!(number(value), expected);
        }
    }
}
