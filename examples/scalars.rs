//! The logger in a few lines, without candle:
//!
//! ```text
//! cargo run --example scalars --no-default-features
//! tensorboard --logdir runs
//! ```

use cnn_tb::tb::{Logdir, SummaryWriter};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let writer = SummaryWriter::create(Logdir::next("runs", "wave")?)?;
    writer.add_text("note", "A *damped* wave.", 0)?;
    for step in 1..=200 {
        let x = f64::from(step) / 20.0;
        writer.add_scalar("wave", x.sin() * (-x / 5.0).exp(), step)?;
    }
    writer.finish()?;
    Ok(())
}
