//! Line charts of runs: for a paper (SVG, PNG) and for the terminal.
//!
//! ```
//! use cnn_tb::report::plot::{Figure, Options, Size};
//! use cnn_tb::tb::{Logdir, SummaryWriter};
//! # let directory = tempfile::tempdir()?;
//! # let runs = directory.path();
//! let writer = SummaryWriter::create(runs.join("exp1"))?;
//! for (step, loss) in [0.9, 0.5, 0.4].into_iter().enumerate() {
//!     writer.add_scalar("val/loss", loss, step + 1)?;
//! }
//! writer.finish()?;
//!
//! let runs = Logdir::open(runs)?.runs()?;
//! let figure = Figure::of_validation(&[("exp1", &runs[0])], &Options::default());
//! assert_eq!(figure.charts[0].curves[0].points, [[1.0, 0.9_f32.into()], [2.0, 0.5], [3.0, 0.4_f32.into()]]);
//! assert!(figure.to_svg(Size::default()).starts_with("<svg"));
//! assert!(figure.to_text(80, 10, false).contains("val/loss"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod band;
mod figure;
mod font;
mod label;
mod layout;
mod palette;
mod raster;
mod scale;
mod scene;
mod smoothing;
mod svg;
mod terminal;
mod thinning;

pub use band::Spread;
pub use figure::{Chart, Curve, Figure, Horizontal, Options};
pub use layout::Size;
pub use palette::{Style, styles};
pub use raster::PictureError;
pub use smoothing::smoothed;
