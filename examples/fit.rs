//! Training as a library call, with an observer of one's own.
//!
//! ```text
//! cargo run --release --example fit
//! ```

#![allow(clippy::print_stdout)]

use std::io;
use std::ops::ControlFlow;

use cnn_tb::data::Dataset;
use cnn_tb::train::{Config, Epoch, Observer, Snapshot, fit};

struct Print;

impl Observer for Print {
    fn epoch(&mut self, epoch: &Epoch, _: &Snapshot<'_>) -> io::Result<ControlFlow<()>> {
        let (loss, accuracy) = (epoch.validation.loss, epoch.validation.accuracy);
        println!(
            "epoch {}: validation loss {loss:.4}, accuracy {accuracy:.4}",
            epoch.epoch
        );
        println!("{:.0} images/s", epoch.images_per_sec);
        Ok(ControlFlow::Continue(()))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config {
        seed: 1,
        ..Config::default()
    };
    let outcome = fit(&config, &Dataset::mnist()?, &mut Print)?;
    if let Some(test) = outcome.test {
        println!("test accuracy {:.4}", test.accuracy);
    }
    Ok(())
}
