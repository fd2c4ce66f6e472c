//! The logger in a loop of one's own, on candle-nn alone: `cargo run --release --example own_loop`,
//! then `tensorboard --logdir runs`. A second time it says that `runs/mlp` holds events, and what to do.

use std::error::Error;

use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::loss::cross_entropy;
use candle_nn::{AdamW, Linear, Optimizer, Sequential, VarBuilder, VarMap, linear, seq};
use cnn_tb::tb::SummaryWriter;

/// Points (N, 2) with coordinates from -1 to 1, and whether (1) or not (0) they lie in a ring.
fn batch(size: usize) -> Result<(Tensor, Tensor)> {
    let points = Tensor::rand(-1_f32, 1.0, (size, 2), &Device::Cpu)?;
    let radius = points.sqr()?.sum(1)?.sqrt()?;
    let labels = ((radius.ge(0.4)? * radius.le(0.8)?)?).to_dtype(DType::U32)?;
    Ok((points, labels))
}

fn evaluate(model: &Sequential) -> Result<f32> {
    let (points, labels) = batch(1000)?;
    cross_entropy(&model.forward(&points)?, &labels)?.to_scalar()
}

/// In the order of their names; a `VarMap` has none.
fn named_variables(varmap: &VarMap) -> Vec<(String, Var)> {
    let variables = varmap.data().lock().map(|map| map.clone());
    let mut named: Vec<_> = variables.unwrap_or_default().into_iter().collect();
    named.sort_by(|(left, _), (right, _)| left.cmp(right));
    named
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let varmap = VarMap::new();
    let vb = VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu);
    let layer = |from, to, name: &str| -> Result<Linear> { linear(from, to, vb.pp(name)) };
    let model = seq()
        .add(layer(2, 128, "hidden")?)
        .add_fn(|x| x.relu())
        .add(layer(128, 2, "output")?);
    let mut optimizer = AdamW::new_lr(varmap.all_vars(), 1e-3)?;
    let batches = (0..=2000).map(|_| batch(64));

    let run = SummaryWriter::create("runs/mlp")?;
    let validation = run.child("validation")?; // equal tags, so one chart
    for (step, batch) in batches.enumerate() {
        let (points, labels) = batch?;
        let loss = cross_entropy(&model.forward(&points)?, &labels)?;
        optimizer.backward_step(&loss)?;
        run.add_scalar("loss", loss.to_scalar::<f32>()?, step)?;
        if step % 500 == 0 {
            validation.add_scalar("loss", evaluate(&model)?, step)?;
            for (name, var) in &named_variables(&varmap) {
                run.add_histogram(name, var.as_tensor(), step)?;
            }
        }
    }
    // The metrics beside them are the last values of every scalar of the run.
    run.add_hparams([("learning_rate", 1e-3.into()), ("width", 128.into())])?;
    run.finish()?; // finishes its children too
    Ok(())
}
