//! Where a training that diverged broke.

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor};

use crate::nn::{Parameters, Plan};

/// The layer whose gradient went bad first on the way back from the loss: in an earlier update,
/// which made the weights so, or else in `grads`.
///
/// # Errors
/// What the device says.
pub fn bad_layer(
    plan: &Plan,
    parameters: &Parameters,
    grads: &GradStore,
) -> Result<Option<String>> {
    match bad_weights(plan, parameters)? {
        None => bad_gradient(plan, parameters, grads),
        earlier => Ok(earlier),
    }
}

fn bad_gradient(plan: &Plan, parameters: &Parameters, grads: &GradStore) -> Result<Option<String>> {
    let named = parameters.named().into_iter();
    let grads = named.filter_map(|(name, var)| Some((name, grads.get(&var)?.clone())));
    nearest_to_loss(plan, &grads.collect::<Vec<_>>())
}

/// The layer whose weights are not finite; of several the one nearest to the loss. If they were
/// finite one update before, that update's gradient was not, or it was too large a step.
///
/// # Errors
/// What the device says.
pub fn bad_weights(plan: &Plan, parameters: &Parameters) -> Result<Option<String>> {
    let named = parameters.named().into_iter();
    let weights = named.map(|(name, var)| (name, var.as_tensor().clone()));
    nearest_to_loss(plan, &weights.collect::<Vec<_>>())
}

/// The last layer that has a bad tensor.
fn nearest_to_loss(plan: &Plan, tensors: &[(String, Tensor)]) -> Result<Option<String>> {
    for layer in plan.layers().iter().rev() {
        for (name, tensor) in tensors {
            let owner = name.rsplit_once('.').map(|(owner, _)| owner);
            if owner == Some(&*layer.name) && !is_finite(tensor)? {
                return Ok(Some(layer.name.clone()));
            }
        }
    }
    Ok(None)
}

fn is_finite(tensor: &Tensor) -> Result<bool> {
    let numbers = tensor
        .flatten_all()?
        .to_dtype(DType::F32)?
        .to_vec1::<f32>()?;
    Ok(numbers.iter().all(|number| number.is_finite()))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::nn::{Init, Layer, NamedNetwork, Network};

    /// The article's network for 8×8 images, and gradients of its parameters, all 1.
    fn network() -> (Plan, Parameters, GradStore) {
        let parameters = Parameters::new(0, Init::Layers);
        let plan = Plan::new(&NamedNetwork::Article.layers(), [1, 8, 8], 3).unwrap();
        Network::new(&plan, parameters.builder(&Device::Cpu)).unwrap();
        let sums = parameters.vars_in_order().into_iter();
        let sum = sums
            .map(|var| var.as_tensor().sum_all().unwrap())
            .reduce(|a, b| (a + b).unwrap())
            .unwrap();
        (plan, parameters, sum.backward().unwrap())
    }

    fn var(parameters: &Parameters, wanted: &str) -> Var {
        let mut named = parameters.named().into_iter();
        named.find(|(name, _)| name == wanted).unwrap().1
    }

    /// As `var`, but with `number` in its last place.
    fn spoilt(var: &Var, number: f32) -> Tensor {
        let mut numbers: Vec<f32> = var.flatten_all().unwrap().to_vec1().unwrap();
        *numbers.last_mut().unwrap() = number;
        Tensor::from_vec(numbers, var.shape(), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_layer_nearest_to_the_loss_is_named() {
        let (plan, parameters, mut grads) = network();
        assert_eq!(bad_gradient(&plan, &parameters, &grads).unwrap(), None);
        assert_eq!(bad_weights(&plan, &parameters).unwrap(), None);
        for (name, number, layer) in [
            ("conv1.weight", f32::INFINITY, "conv1"),
            ("fc1.bias", f32::NAN, "fc1"),
            ("conv2.bias", f32::NEG_INFINITY, "fc1"),
        ] {
            let var = var(&parameters, name);
            grads.insert(&var, spoilt(&var, number));
            let found = bad_gradient(&plan, &parameters, &grads).unwrap();
            assert_eq!(found.as_deref(), Some(layer));
            var.set(&spoilt(&var, number)).unwrap();
            assert_eq!(
                bad_weights(&plan, &parameters).unwrap().as_deref(),
                Some(layer)
            );
        }
        // The update that made the weights bad came before these gradients.
        let fc2 = var(&parameters, "fc2.bias");
        grads.insert(&fc2, spoilt(&fc2, f32::NAN));
        let found = bad_gradient(&plan, &parameters, &grads).unwrap();
        assert_eq!(found.as_deref(), Some("fc2"));
        let found = bad_layer(&plan, &parameters, &grads).unwrap();
        assert_eq!(found.as_deref(), Some("fc1"));
    }

    #[test]
    fn a_parameter_without_a_gradient_is_no_bad_one() {
        let (plan, parameters, mut grads) = network();
        for var in parameters.vars_in_order() {
            grads.remove(&var);
        }
        assert_eq!(bad_gradient(&plan, &parameters, &grads).unwrap(), None);
    }

    #[test]
    fn layers_are_in_the_order_of_the_network_and_not_of_their_names() {
        let layers = [
            Layer::conv(2, 3),
            Layer::BatchNorm {},
            Layer::Relu {},
            Layer::linear(4),
            Layer::BatchNorm {},
            Layer::classes(),
        ];
        let parameters = Parameters::new(0, Init::Layers);
        let plan = Plan::new(&layers, [1, 4, 4], 3).unwrap();
        Network::new(&plan, parameters.builder(&Device::Cpu)).unwrap();
        for (name, layer) in [
            ("conv1.weight", "conv1"),
            ("bn1.bias", "bn1"),
            ("fc1.weight", "fc1"),
            ("bn2.weight", "bn2"),
            ("fc2.bias", "fc2"),
        ] {
            let var = var(&parameters, name);
            var.set(&spoilt(&var, f32::NAN)).unwrap();
            let found = bad_weights(&plan, &parameters).unwrap();
            assert_eq!(found.as_deref(), Some(layer));
        }
    }
}
