//! What the network gives for some images, inside and at its end.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use crate::nn::{Layer, Network, OutputShape, PlannedLayer};

use super::op_names::op_names;

/// What a network gives for some images.
#[derive(Debug)]
pub struct Pass {
    /// What the ops of the network give for all images, in order.
    pub outputs: Vec<OpOutput>,
    /// Each op before the first fully connected layer by itself, as `conv1/convolution`, and what it
    /// gives for the first image: (1, C, H, W). In training convolution, pooling and ReLU are one
    /// op, of which nothing can be seen inside.
    pub maps: Vec<OpOutput>,
    /// What the last layer gives: (N, classes).
    pub logits: Tensor,
}

/// What an op of a network gives.
#[derive(Debug)]
pub struct OpOutput {
    /// The op, or the last layer of several that it computes at once: as `conv1/relu`.
    pub name: String,
    /// (N, C, H, W) or (N, features).
    pub output: Tensor,
    /// The ReLU among the layers that it computes.
    pub relu: Option<String>,
    /// Whether it is the last of its stage.
    pub ends_stage: bool,
}

impl Pass {
    /// Computes `images` (N, 1, H, W), of which there is at least one.
    ///
    /// # Errors
    /// What the device says.
    pub fn new(network: &Network, images: &Tensor) -> Result<Self> {
        let outputs = named(network, network.outputs(images)?);
        let Some(last) = outputs.last() else {
            bail!("the network has no layers");
        };
        let layers = network.plan().layers().iter();
        let of_maps = layers.take_while(|layer| matches!(layer.output, OutputShape::Maps(_)));
        let count = of_maps.count();
        let mut one_by_one = network.outputs_one_by_one(&images.narrow(0, 0, 1)?)?;
        one_by_one.truncate(count);
        Ok(Self {
            logits: last.output.clone(),
            maps: named(network, one_by_one),
            outputs,
        })
    }
}

/// The outputs with what they are called. Dropout, which does nothing outside of training, has none.
fn named(network: &Network, mut outputs: Vec<(Range<usize>, Tensor)>) -> Vec<OpOutput> {
    let layers = network.plan().layers();
    let names = op_names(network.plan(), label);
    let last = |computed: &Range<usize>| computed.end - 1;
    outputs.retain(|(computed, _)| {
        let layer = &layers[last(computed)].layer;
        !matches!(layer, Layer::Dropout { .. })
    });
    let stages = outputs
        .iter()
        .map(|(computed, _)| &layers[last(computed)].stage);
    let stages: Vec<&String> = stages.collect();
    let named = outputs.iter().enumerate().map(|(at, (computed, output))| {
        let relu = computed
            .clone()
            .find(|at| layers[*at].layer == Layer::Relu {});
        OpOutput {
            name: names[last(computed)].clone(),
            output: output.clone(),
            relu: relu.map(|at| names[at].clone()),
            ends_stage: stages.get(at + 1) != Some(&stages[at]),
        }
    });
    named.collect()
}

fn label(layer: &PlannedLayer) -> String {
    match layer.layer {
        Layer::Conv { .. } => "convolution",
        Layer::Linear { units: None } => "logits",
        ref other => other.kind(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::{Init, NamedNetwork, Parameters, Plan};

    /// A pass of two images of 8×8 pixels through a network of three classes.
    fn pass(layers: &[Layer]) -> Pass {
        let parameters = Parameters::new(0, Init::Layers);
        let plan = Plan::new(layers, [1, 8, 8], 3).unwrap();
        let network = Network::new(&plan, parameters.builder(&Device::Cpu)).unwrap();
        let pixels: Vec<f32> = (0..128).map(|index| index as f32 / 128.0).collect();
        let images = Tensor::from_vec(pixels, (2, 1, 8, 8), &Device::Cpu).unwrap();
        let none = images.narrow(0, 0, 0).unwrap();
        assert!(Pass::new(&network, &none).is_err());
        Pass::new(&network, &images).unwrap()
    }

    fn names(outputs: &[OpOutput]) -> Vec<&str> {
        outputs.iter().map(|output| &*output.name).collect()
    }

    #[test]
    fn the_ops_one_by_one_give_what_the_layers_give() {
        let pass = pass(&NamedNetwork::Article.layers());
        let expected = [
            "conv1/relu",
            "conv2/relu",
            "fc1/linear",
            "fc1/relu",
            "fc2/logits",
        ];
        assert_eq!(names(&pass.outputs), expected);
        for whole in &pass.outputs[..2] {
            let map = pass.maps.iter().find(|map| map.name == whole.name).unwrap();
            let first = whole.output.narrow(0, 0, 1).unwrap();
            let differences = (&map.output - first).unwrap().abs().unwrap();
            let furthest = differences.max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(furthest < 1e-5, "{}", whole.name);
        }
        let of_both = ["convolution", "max_pool", "relu"];
        let expected = ["conv1", "conv2"].map(|layer| of_both.map(|op| format!("{layer}/{op}")));
        assert_eq!(names(&pass.maps), expected.concat());
        assert_eq!(pass.logits.dims(), [2, 3]);
    }

    #[test]
    fn a_relu_before_its_pooling_is_found() {
        let layers = [
            Layer::conv(4, 3),
            Layer::Relu {},
            Layer::max_pool(2),
            Layer::classes(),
        ];
        let pass = pass(&layers);
        assert_eq!(names(&pass.outputs), ["conv1/max_pool", "fc1/logits"]);
        assert_eq!(pass.outputs[0].relu.as_deref(), Some("conv1/relu"));
        assert!(pass.outputs.iter().all(|output| output.ends_stage));
    }
}
