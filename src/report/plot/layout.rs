//! From charts to a picture: where axes, lines, numbers and the legend stand.

use crate::report::plot::figure::{Chart, Curve, Figure};
use crate::report::plot::font;
use crate::report::plot::label::label;
use crate::report::plot::palette::{MARKERS, Style, styles};
use crate::report::plot::scale::{Scale, Tick, is_usable};
use crate::report::plot::scene::{Anchor, Colour, FONT_SIZE, Place, Scene, Shape};
use crate::report::plot::thinning::thinned;

/// How large each chart of a figure is, its share of the legend included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// In millimetres.
    pub width_mm: f64,
    /// In millimetres.
    pub height_mm: f64,
    /// How many charts stand side by side.
    pub columns: usize,
}

impl Default for Size {
    /// A column of a paper: 80 mm by 50 mm, below each other.
    fn default() -> Self {
        Self {
            width_mm: 80.0,
            height_mm: 50.0,
            columns: 1,
        }
    }
}

const POINTS_PER_MM: f64 = 72.0 / 25.4;
const GREY: Colour = [0x66, 0x66, 0x66];
const GRID: Colour = [0xe4, 0xe4, 0xe4];
const WHITE: Colour = [0xff, 0xff, 0xff];
const MARGIN: f64 = 4.0;
/// Of a line of text.
const LINE: f64 = 12.0;
const TICK: f64 = 3.0;
const GAP: f64 = 3.0;
/// Of a curve.
const WIDTH: f64 = 1.2;
/// Columns of points that are thinned: less than a curve's width.
const COLUMN: f64 = 0.5;
/// The line in front of a name in the legend.
const SAMPLE: f64 = 18.0;

/// The rectangle between the axes.
struct Plane {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Plane {
    fn place(&self, [x, y]: [f64; 2]) -> Place {
        [
            self.left + self.x.place(x) * (self.right - self.left),
            self.bottom - self.y.place(y) * (self.bottom - self.top),
        ]
    }
}

/// The picture of all charts with one legend above them.
pub(super) fn scene(figure: &Figure, size: Size) -> Scene {
    let columns = size.columns.clamp(1, figure.charts.len().max(1));
    let rows = figure.charts.len().div_ceil(columns);
    let (width, height) = (
        size.width_mm * POINTS_PER_MM,
        size.height_mm * POINTS_PER_MM,
    );
    let mut scene = Scene {
        width: width * columns as f64,
        height: height * rows as f64,
        shapes: Vec::new(),
    };
    let names = figure.run_names();
    let styles = styles(&names);
    let top = legend(&mut scene, figure, &names, &styles);
    let height = (scene.height - top) / rows.max(1) as f64;
    // As wide for all, so that the charts stand one below the other.
    let labels = figure.charts.iter().map(|chart| {
        let (_, y) = scales(chart, 0.02, 0.05);
        widest(&y_ticks(&y, heights([0.0, height])))
    });
    let labels = labels.fold(0.0, f64::max);
    for (index, chart) in figure.charts.iter().enumerate() {
        let left = (index % columns) as f64 * width;
        let top = top + (index / columns) as f64 * height;
        let style = |curve: &Curve| {
            let place = names.iter().position(|name| *name == curve.run);
            place.and_then(|place| styles.get(place)).copied()
        };
        draw_chart(
            &mut scene,
            chart,
            [left, top, left + width, top + height],
            labels,
            style,
        );
    }
    scene
}

/// Draws the legend where there is something to tell apart; returns where it ends.
fn legend(scene: &mut Scene, figure: &Figure, names: &[&str], styles: &[Style]) -> f64 {
    let mut entries: Vec<(String, Option<Style>, bool)> = Vec::new();
    if names.len() > 1 {
        let named = names.iter().zip(styles);
        entries.extend(named.map(|(name, style)| (label(name, 40), Some(*style), false)));
    }
    if figure.has_both_splits() {
        entries.push(("validation".to_owned(), None, false));
        entries.push(("training".to_owned(), None, true));
    }
    if entries.is_empty() {
        return 0.0;
    }
    let space = scene.width - 2.0 * MARGIN;
    for (text, ..) in &mut entries {
        // A fallback font may be wider than ours.
        while font::width(text, FONT_SIZE) * 1.1 + SAMPLE + GAP > space && text.chars().count() > 3
        {
            *text = label(text, text.chars().count() - 1);
        }
    }
    let widest = entries
        .iter()
        .map(|(text, ..)| font::width(text, FONT_SIZE))
        .fold(0.0, f64::max);
    let cell = SAMPLE + GAP + widest * 1.1 + 2.0 * GAP;
    let columns = ((space / cell) as usize).clamp(1, entries.len());
    let most = ((scene.height * 0.4 / LINE) as usize).max(1) * columns;
    if entries.len() > most {
        let more = entries.len() - (most - 1);
        entries.truncate(most - 1);
        entries.push((format!("… and {more} more"), None, false));
    }
    for (index, (text, style, is_dashed)) in entries.iter().enumerate() {
        let x = MARGIN + (index % columns) as f64 * (space / columns as f64);
        let y = MARGIN + ((index / columns) as f64 + 0.5) * LINE;
        if !text.starts_with('…') {
            let colour = style.map_or(GREY, |style| style.colour);
            line(
                scene,
                vec![[x, y], [x + SAMPLE, y]],
                colour,
                WIDTH,
                1.0,
                *is_dashed,
            );
            if let Some(style) = style {
                mark(scene, [x + SAMPLE / 2.0, y], *style);
            }
        }
        text_at(scene, [x + SAMPLE + GAP, y + 3.2], text, Anchor::Start);
    }
    MARGIN + entries.len().div_ceil(columns) as f64 * LINE
}

/// Where a chart's plane begins and ends between two heights of the picture.
fn heights([top, bottom]: [f64; 2]) -> [f64; 2] {
    let top = top + MARGIN + 2.0;
    [top, (bottom - MARGIN - 2.0 * LINE - TICK).max(top + 1.0)]
}

fn y_ticks(y: &Scale, [top, bottom]: [f64; 2]) -> Vec<Tick> {
    y.ticks(((bottom - top) / 15.0) as usize, false)
}

/// The width of the longest label.
fn widest(ticks: &[Tick]) -> f64 {
    let widths = ticks.iter().map(|tick| font::width(&tick.label, FONT_SIZE));
    widths.fold(0.0, f64::max)
}

/// Draws a chart into a part of the picture; `labels` is the room for those of the vertical axis.
fn draw_chart(
    scene: &mut Scene,
    chart: &Chart,
    [left, top, right, bottom]: [f64; 4],
    labels: f64,
    style: impl Fn(&Curve) -> Option<Style>,
) {
    let (x, y) = scales(chart, 0.02, 0.05);
    let [plane_top, plane_bottom] = heights([top, bottom]);
    let y_ticks = y_ticks(&y, [plane_top, plane_bottom]);
    let plane_left = left + MARGIN + LINE + labels + TICK + GAP;
    let plane = Plane {
        left: plane_left,
        right: (right - MARGIN - 6.0).max(plane_left + 1.0),
        top: plane_top,
        bottom: plane_bottom,
        x,
        y,
    };
    let x_ticks = fitting_ticks(&plane, chart.has_whole_x());
    draw_axes(scene, chart, &plane, &x_ticks, &y_ticks, left);
    let count = chart.curves.len();
    for curve in &chart.curves {
        if let Some(style) = style(curve) {
            draw_band(scene, &plane, curve, style);
        }
    }
    for (index, curve) in chart.curves.iter().enumerate() {
        if let Some(style) = style(curve) {
            draw_curve(
                scene,
                chart,
                &plane,
                curve,
                style,
                index as f64 / count as f64,
            );
        }
    }
}

/// The ranges of both axes, with so much more at their ends.
pub(super) fn scales(chart: &Chart, x_margin: f64, y_margin: f64) -> (Scale, Scale) {
    let points = || {
        let lines = chart
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().chain(&curve.raw).copied());
        let edges = chart.curves.iter().flat_map(|curve| &curve.band);
        let points = lines.chain(edges.flat_map(|[x, low, high]| [[*x, *low], [*x, *high]]));
        points.filter(|[x, y]| is_usable(*x, chart.log_x) && is_usable(*y, chart.log_y))
    };
    (
        Scale::of(points().map(|point| point[0]), chart.log_x, x_margin),
        Scale::of(points().map(|point| point[1]), chart.log_y, y_margin),
    )
}

/// As many ticks of the horizontal axis as leave room between their labels.
fn fitting_ticks(plane: &Plane, whole: bool) -> Vec<Tick> {
    let mut most = ((plane.right - plane.left) / 24.0) as usize;
    loop {
        let ticks = plane.x.ticks(most, whole);
        let overlap = |pair: &[Tick]| {
            let [one, other] = [&pair[0], &pair[1]];
            let apart = plane.place([other.value, 1.0])[0] - plane.place([one.value, 1.0])[0];
            let widths = font::width(&one.label, FONT_SIZE) + font::width(&other.label, FONT_SIZE);
            apart < widths / 2.0 + 2.0 * GAP
        };
        if most <= 2 || !ticks.windows(2).any(overlap) {
            return ticks;
        }
        most -= 1;
    }
}

fn draw_axes(
    scene: &mut Scene,
    chart: &Chart,
    plane: &Plane,
    x_ticks: &[Tick],
    y_ticks: &[Tick],
    left: f64,
) {
    let &Plane {
        left: start,
        right,
        top,
        bottom,
        ..
    } = plane;
    for tick in y_ticks {
        let y = bottom - plane.y.place(tick.value) * (bottom - top);
        line(scene, vec![[start, y], [right, y]], GRID, 0.5, 1.0, false);
        line(
            scene,
            vec![[start - TICK, y], [start, y]],
            GREY,
            0.6,
            1.0,
            false,
        );
        text_at(
            scene,
            [start - TICK - 2.0, y + 3.2],
            &tick.label,
            Anchor::End,
        );
    }
    for tick in x_ticks {
        let x = start + plane.x.place(tick.value) * (right - start);
        line(
            scene,
            vec![[x, bottom], [x, bottom + TICK]],
            GREY,
            0.6,
            1.0,
            false,
        );
        text_at(
            scene,
            [x, bottom + TICK + LINE - 3.0],
            &tick.label,
            Anchor::Middle,
        );
    }
    line(
        scene,
        vec![[start, top], [start, bottom], [right, bottom]],
        GREY,
        0.6,
        1.0,
        false,
    );
    let middle = (start + right) / 2.0;
    text_at(
        scene,
        [middle, bottom + TICK + 2.0 * LINE - 2.0],
        &chart.x_title,
        Anchor::Middle,
    );
    let mut title = label(&chart.title, 200);
    while font::width(&title, FONT_SIZE) > bottom - top + 2.0 * LINE && title.chars().count() > 3 {
        title = label(&title, title.chars().count() - 1);
    }
    scene.shapes.push(Shape::Text {
        at: [left + MARGIN + 7.0, (top + bottom) / 2.0],
        text: title,
        anchor: Anchor::Middle,
        is_vertical: true,
    });
}

fn draw_band(scene: &mut Scene, plane: &Plane, curve: &Curve, style: Style) {
    let edge = |which: usize| {
        let points = curve
            .band
            .iter()
            .map(|edges| plane.place([edges[0], edges[which]]));
        thinned(&points.collect::<Vec<_>>(), COLUMN)
    };
    let mut points = edge(1);
    points.extend(edge(2).into_iter().rev());
    if points.len() > 2 {
        scene.shapes.push(Shape::Area {
            points,
            colour: style.colour,
            opacity: 0.2,
        });
    }
}

/// Draws the pieces between gaps; a lone point as a marker. `phase` moves the markers along, so that
/// those of several curves do not lie on each other.
fn draw_curve(
    scene: &mut Scene,
    chart: &Chart,
    plane: &Plane,
    curve: &Curve,
    style: Style,
    phase: f64,
) {
    let pieces = |points: &[[f64; 2]]| -> Vec<Vec<Place>> {
        let is_drawn =
            |point: &[f64; 2]| is_usable(point[0], chart.log_x) && is_usable(point[1], chart.log_y);
        let pieces = points
            .split(|point| !is_drawn(point))
            .filter(|piece| !piece.is_empty());
        pieces
            .map(|piece| piece.iter().map(|point| plane.place(*point)).collect())
            .collect()
    };
    for piece in pieces(&curve.raw) {
        line(
            scene,
            thinned(&piece, COLUMN),
            style.colour,
            0.7,
            0.3,
            false,
        );
    }
    let pieces = pieces(&curve.points);
    for piece in &pieces {
        line(
            scene,
            thinned(piece, COLUMN),
            style.colour,
            WIDTH,
            1.0,
            curve.is_training,
        );
    }
    const APART: f64 = 26.0;
    let mut next = plane.left + APART * phase;
    for piece in &pieces {
        for (index, place) in piece.iter().enumerate() {
            let is_last = index + 1 == piece.len();
            if place[0] >= next || piece.len() == 1 || is_last && curve.points.len() <= 12 {
                mark(scene, *place, style);
                next = place[0] + APART;
            }
        }
    }
}

fn mark(scene: &mut Scene, [x, y]: Place, style: Style) {
    const RADIUS: f64 = 2.3;
    let corners: &[(f64, f64)] = match style.marker % MARKERS {
        0 => &[],
        1 => &[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        2 => &[(0.0, -1.25), (1.1, 0.75), (-1.1, 0.75)],
        3 => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        _ => &[(0.0, 1.25), (1.1, -0.75), (-1.1, -0.75)],
    };
    let mut points: Vec<Place> = corners
        .iter()
        .map(|(dx, dy)| [x + dx * RADIUS, y + dy * RADIUS])
        .collect();
    if points.is_empty() {
        let angle = |part: i32| f64::from(part) * std::f64::consts::TAU / 16.0;
        points = (0..16)
            .map(|part| {
                [
                    x + RADIUS * angle(part).cos(),
                    y + RADIUS * angle(part).sin(),
                ]
            })
            .collect();
    }
    let colour = if style.is_hollow { WHITE } else { style.colour };
    scene.shapes.push(Shape::Area {
        points: points.clone(),
        colour,
        opacity: 1.0,
    });
    points.extend(points.first().copied());
    line(scene, points, style.colour, 0.9, 1.0, false);
}

fn line(
    scene: &mut Scene,
    points: Vec<Place>,
    colour: Colour,
    width: f64,
    opacity: f64,
    is_dashed: bool,
) {
    if points.len() > 1 {
        scene.shapes.push(Shape::Line {
            points,
            colour,
            width,
            opacity,
            is_dashed,
        });
    }
}

fn text_at(scene: &mut Scene, at: Place, text: &str, anchor: Anchor) {
    let text = text.to_owned();
    scene.shapes.push(Shape::Text {
        at,
        text,
        anchor,
        is_vertical: false,
    });
}
