//! The network as a graph.

use std::collections::BTreeMap;

use candle_core::Var;

use crate::nn::{Layer, OutputShape, Padding, Parameters, Plan, PlannedLayer};
use crate::tb::{Graph, Node};

use super::error::LogError;
use super::op_names::op_names;

/// What comes in.
const IMAGES: &str = "input/images";

/// A box for each convolution and each fully connected layer with what follows it, which opens into
/// parameters and ops, with the shapes of what they give.
///
/// # Errors
/// Names of parameters that are no names of nodes.
pub fn graph(parameters: &Parameters, plan: &Plan) -> Result<Graph, LogError> {
    let mut nodes = vec![
        Node::new(IMAGES, "Placeholder").output_shape(batch(plan.input())),
        Node::new("input/labels", "Placeholder").output_shape([-1]),
    ];
    let boxes = plan
        .layers()
        .iter()
        .map(|layer| (&*layer.name, box_of(layer)));
    let boxes: BTreeMap<&str, String> = boxes.collect();
    let node = |name: &str, var: &Var, op: &str| {
        let (layer, of_layer) = name.rsplit_once('.').unwrap_or(("", name));
        let inside = boxes.get(layer).map_or(layer, String::as_str);
        let sizes: Vec<i64> = var.dims().iter().map(|size| *size as i64).collect();
        Node::new(format!("{inside}/{of_layer}"), op).output_shape(sizes)
    };
    for (name, var) in parameters.named() {
        let count = var.elem_count() as i64;
        nodes.push(node(&name, &var, "Parameter").attribute("parameters", count));
    }
    for (name, var) in parameters.named_buffers() {
        nodes.push(node(&name, &var, "Buffer"));
    }
    let names = op_names(plan, op_label);
    let mut before = IMAGES.to_owned();
    for (layer, name) in plan.layers().iter().zip(names) {
        if let (Layer::Linear { .. }, OutputShape::Maps(_)) = (&layer.layer, layer.input) {
            let flat = format!("{}/Flatten", layer.stage);
            let count = OutputShape::Features(layer.input.count());
            let node = Node::new(flat.clone(), "Reshape").input(before);
            nodes.push(node.output_shape(batch(count)));
            before = flat;
        }
        nodes.push(op(layer, &name, before));
        before = name;
    }
    let loss = Node::new("loss/SoftmaxCrossEntropy", "SoftmaxCrossEntropyWithLogits");
    let loss = loss.inputs([before, "input/labels".to_owned()]);
    nodes.push(loss.output_shape([]));
    Ok(Graph::new(nodes)?)
}

/// Where the parameters of a layer are: those of a batch normalisation in a box within their
/// stage's.
fn box_of(layer: &PlannedLayer) -> String {
    match layer.layer {
        Layer::BatchNorm {} => format!("{}/{}", layer.stage, layer.name),
        _ => layer.name.clone(),
    }
}

/// What the op of a layer is called in its box.
fn op_label(layer: &PlannedLayer) -> String {
    match layer.layer {
        Layer::Conv { .. } => "Conv2D".to_owned(),
        Layer::BatchNorm {} => format!("{}/BatchNorm", layer.name),
        Layer::Relu {} => "ReLU".to_owned(),
        Layer::MaxPool { .. } => "MaxPool".to_owned(),
        Layer::AvgPool { .. } => "AvgPool".to_owned(),
        Layer::Dropout { .. } => "Dropout".to_owned(),
        Layer::Linear { .. } => "MatMul".to_owned(),
    }
}

/// The op of a layer, which takes what the node `before` gives.
fn op(layer: &PlannedLayer, name: &str, before: String) -> Node {
    let node = |op: &str| Node::new(name, op).output_shape(batch(layer.output));
    let inside = box_of(layer);
    let parameters = ["weight", "bias"].map(|parameter| format!("{inside}/{parameter}"));
    let sides = |side: usize| [side as i64; 2];
    match layer.layer {
        Layer::Conv {
            stride, padding, ..
        } => {
            let node = node("Conv2D").input(before).inputs(parameters);
            let node = match padding {
                Padding::Same => node.attribute("padding", "SAME"),
                Padding::Zeros(0) => node.attribute("padding", "VALID"),
                Padding::Zeros(zeros) => node.attribute("padding", sides(zeros)),
            };
            node.attribute("strides", sides(stride))
        }
        Layer::MaxPool { size, stride } | Layer::AvgPool { size, stride } => {
            let kind = op_label(layer);
            let node = node(&kind).input(before).attribute("ksize", sides(size));
            node.attribute("strides", sides(stride.unwrap_or(size)))
        }
        Layer::BatchNorm {} => {
            let running = ["mean", "var"].map(|of| format!("{inside}/running_{of}"));
            let node = node("BatchNorm").input(before).inputs(parameters);
            node.inputs(running)
        }
        Layer::Relu {} => node("Relu").input(before),
        Layer::Dropout { rate } => node("Dropout").input(before).attribute("rate", rate),
        Layer::Linear { .. } => node("MatMul").input(before).inputs(parameters),
    }
}

/// The shape of a batch of any size.
fn batch(shape: OutputShape) -> Vec<i64> {
    let sizes = shape.sizes().iter().map(|size| *size as i64);
    std::iter::once(-1).chain(sizes).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use prost::Message as _;

    use super::*;
    use crate::nn::{Init, Network};
    use crate::tb::proto::GraphDef;

    #[test]
    fn a_box_holds_a_layer_with_what_follows_it() {
        let layers = [
            Layer::conv(4, 3),
            Layer::BatchNorm {},
            Layer::Relu {},
            Layer::max_pool(2),
            Layer::Relu {},
            Layer::Dropout { rate: 0.5 },
            Layer::classes(),
        ];
        let parameters = Parameters::new(0, Init::Layers);
        let plan = Plan::new(&layers, [1, 8, 8], 3).unwrap();
        Network::new(&plan, parameters.builder(&Device::Cpu)).unwrap();
        let graph = graph(&parameters, &plan).unwrap();
        let graph = GraphDef::decode(&graph.to_bytes()[..]).unwrap();
        let nodes = graph.node.iter().map(|node| {
            let inputs = node.input.join(" ");
            format!("{} {}: {inputs}", node.name, node.op)
        });
        let expected = [
            "input/images Placeholder: ",
            "input/labels Placeholder: ",
            "conv1/bn1/bias Parameter: ",
            "conv1/bn1/weight Parameter: ",
            "conv1/bias Parameter: ",
            "conv1/weight Parameter: ",
            "fc1/bias Parameter: ",
            "fc1/weight Parameter: ",
            "conv1/bn1/running_mean Buffer: ",
            "conv1/bn1/running_var Buffer: ",
            "conv1/Conv2D Conv2D: input/images conv1/weight conv1/bias",
            "conv1/bn1/BatchNorm BatchNorm: conv1/Conv2D conv1/bn1/weight conv1/bn1/bias \
             conv1/bn1/running_mean conv1/bn1/running_var",
            "conv1/ReLU Relu: conv1/bn1/BatchNorm",
            "conv1/MaxPool MaxPool: conv1/ReLU",
            "conv1/ReLU_2 Relu: conv1/MaxPool",
            "conv1/Dropout Dropout: conv1/ReLU_2",
            "fc1/Flatten Reshape: conv1/Dropout",
            "fc1/MatMul MatMul: fc1/Flatten fc1/weight fc1/bias",
            "loss/SoftmaxCrossEntropy SoftmaxCrossEntropyWithLogits: fc1/MatMul input/labels",
        ];
        assert_eq!(nodes.collect::<Vec<_>>(), expected);
    }
}
