//! Where ops put what their backward pass needs.
//!
//! In candle's graph a tensor may be used twice, so each gradient is added to a tensor of zeros: four
//! passes over memory that ops of ours do not need. In a network each layer's output goes to the next
//! layer alone; a [`Chain`] hands gradients on as they are.

use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, Device, Result, Shape, Storage, Tensor, Var, bail,
};

/// What ops are put on.
pub trait Tape {
    /// What `op` makes of a tensor.
    fn apply_op1(
        &mut self,
        input: &Tensor,
        op: impl CustomOp1 + Send + Sync + 'static,
    ) -> Result<Tensor>;

    /// What `op` makes of a tensor, a weight and a bias.
    fn apply_op3(
        &mut self,
        tensors: [&Tensor; 3],
        op: impl CustomOp3 + Send + Sync + 'static,
    ) -> Result<Tensor>;
}

/// candle's own graph: gradients come from [`Tensor::backward`].
pub struct Graph;

impl Tape for Graph {
    fn apply_op1(
        &mut self,
        input: &Tensor,
        op: impl CustomOp1 + Send + Sync + 'static,
    ) -> Result<Tensor> {
        input.apply_op1(op)
    }

    fn apply_op3(
        &mut self,
        [input, weight, bias]: [&Tensor; 3],
        op: impl CustomOp3 + Send + Sync + 'static,
    ) -> Result<Tensor> {
        input.apply_op3(weight, bias, op)
    }
}

/// Ops on the CPU one after the other: each takes what the one before gave. No parameter may be used
/// twice.
#[derive(Default)]
pub struct Chain {
    links: Vec<Link>,
}

struct Link {
    op: Op,
    input: Tensor,
    output: Tensor,
}

enum Op {
    One(Box<dyn CustomOp1>),
    Three(Box<dyn CustomOp3>, [Tensor; 2]),
}

impl Tape for Chain {
    fn apply_op1(
        &mut self,
        input: &Tensor,
        op: impl CustomOp1 + Send + Sync + 'static,
    ) -> Result<Tensor> {
        let (storage, layout) = input.storage_and_layout();
        let (storage, shape) = op.cpu_fwd(cpu(&storage)?, layout)?;
        self.push(Op::One(Box::new(op)), input, (storage, shape))
    }

    fn apply_op3(
        &mut self,
        [input, weight, bias]: [&Tensor; 3],
        op: impl CustomOp3 + Send + Sync + 'static,
    ) -> Result<Tensor> {
        let (x, x_layout) = input.storage_and_layout();
        let (w, w_layout) = weight.storage_and_layout();
        let (b, b_layout) = bias.storage_and_layout();
        let (x, w, b) = (cpu(&x)?, cpu(&w)?, cpu(&b)?);
        let output = op.cpu_fwd(x, x_layout, w, w_layout, b, b_layout)?;
        let parameters = [weight.clone(), bias.clone()];
        self.push(Op::Three(Box::new(op), parameters), input, output)
    }
}

fn cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("a chain takes tensors on the CPU"),
    }
}

impl Chain {
    fn push(
        &mut self,
        op: Op,
        input: &Tensor,
        (storage, shape): (CpuStorage, Shape),
    ) -> Result<Tensor> {
        let CpuStorage::F32(numbers) = storage else {
            bail!("a chain takes ops that give f32");
        };
        if let Some(last) = self.links.last()
            && last.output.id() != input.id()
        {
            bail!("a chain's ops take what the one before gave; something was computed in between");
        }
        // A variable, for ops look there whether their input needs a gradient.
        let output = Var::from_vec(numbers, shape, &Device::Cpu)?.into_inner();
        self.links.push(Link {
            op,
            input: input.clone(),
            output: output.clone(),
        });
        Ok(output)
    }

    /// The gradients of all parameters, from that of the last output.
    ///
    /// # Errors
    /// Those of the ops.
    pub fn backward(self, grad_output: Tensor) -> Result<GradStore> {
        let mut grads = GradStore::default();
        let mut grad = Some(grad_output);
        for Link { op, input, output } in self.links.into_iter().rev() {
            let Some(grad_output) = grad else {
                break;
            };
            match op {
                Op::One(op) => grad = op.bwd(&input, &output, &grad_output)?,
                Op::Three(op, [weight, bias]) => {
                    let gradients = op.bwd(&input, &weight, &bias, &output, &grad_output)?;
                    grad = gradients.0;
                    for (parameter, grad) in [(weight, gradients.1), (bias, gradients.2)] {
                        if let Some(grad) = grad {
                            grads.insert(&parameter, grad);
                        }
                    }
                }
            }
        }
        Ok(grads)
    }
}
