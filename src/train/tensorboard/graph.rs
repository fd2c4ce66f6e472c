//! The network as a graph.

use crate::nn::Parameters;
use crate::tb::{Graph, Node};

use super::error::LogError;

/// A box for each layer, which opens into its parameters and ops: what
/// [`Article`](crate::nn::Article) computes, op by op, with the shapes for images of `height` ×
/// `width`.
///
/// # Errors
/// Parameters of another network.
pub fn graph(parameters: &Parameters, height: usize, width: usize) -> Result<Graph, LogError> {
    let mut nodes = vec![
        Node::new("input/images", "Placeholder").output_shape(shape([1, height, width])),
        Node::new("input/labels", "Placeholder").output_shape([-1]),
    ];
    for (name, var) in parameters.named() {
        let sizes: Vec<i64> = var.dims().iter().map(|size| *size as i64).collect();
        let node = Node::new(name.replace('.', "/"), "Parameter")
            .output_shape(sizes)
            .attribute("parameters", var.elem_count() as i64);
        nodes.push(node);
    }
    let channels = |layer: &str| rows(parameters, &format!("{layer}.bias"));
    let (c1, c2) = (channels("conv1"), channels("conv2"));
    nodes.extend(conv_layer("conv1", "input/images", [c1, height, width]));
    nodes.extend(conv_layer(
        "conv2",
        "conv1/ReLU",
        [c2, height / 2, width / 2],
    ));
    let (hidden, classes) = (channels("fc1"), channels("fc2"));
    let flat = c2 * (height / 2 / 2) * (width / 2 / 2);
    nodes.extend([
        Node::new("fc1/Flatten", "Reshape")
            .input("conv2/ReLU")
            .output_shape(shape([flat])),
        affine("fc1", "fc1/Flatten", hidden),
        Node::new("fc1/ReLU", "Relu")
            .input("fc1/MatMul")
            .output_shape(shape([hidden])),
        affine("fc2", "fc1/ReLU", classes),
        Node::new("loss/SoftmaxCrossEntropy", "SoftmaxCrossEntropyWithLogits")
            .inputs(["fc2/MatMul", "input/labels"])
            .output_shape([]),
    ]);
    Ok(Graph::new(nodes)?)
}

/// Convolution, pooling and ReLU; `sizes` are channels, height and width of the convolution.
fn conv_layer(layer: &str, input: &str, [channels, height, width]: [usize; 3]) -> [Node; 3] {
    let pooled = shape([channels, height / 2, width / 2]);
    let name = |op: &str| format!("{layer}/{op}");
    [
        Node::new(name("Conv2D"), "Conv2D")
            .inputs([input.to_owned(), name("weight"), name("bias")])
            .output_shape(shape([channels, height, width]))
            .attribute("padding", "SAME")
            .attribute("strides", [1, 1]),
        Node::new(name("MaxPool"), "MaxPool")
            .input(name("Conv2D"))
            .output_shape(pooled.clone())
            .attribute("ksize", [2, 2])
            .attribute("strides", [2, 2]),
        Node::new(name("ReLU"), "Relu")
            .input(name("MaxPool"))
            .output_shape(pooled),
    ]
}

fn affine(layer: &str, input: &str, features: usize) -> Node {
    Node::new(format!("{layer}/MatMul"), "MatMul")
        .inputs([
            input.to_owned(),
            format!("{layer}/weight"),
            format!("{layer}/bias"),
        ])
        .output_shape(shape([features]))
}

/// The shape of a batch of any size.
fn shape<const N: usize>(sizes: [usize; N]) -> Vec<i64> {
    let sizes = sizes.into_iter().map(|size| size as i64);
    std::iter::once(-1).chain(sizes).collect()
}

/// The first dimension of a parameter, 0 for one that is not there.
fn rows(parameters: &Parameters, name: &str) -> usize {
    let named = parameters.named();
    let var = named.iter().find(|(known, _)| known == name);
    var.and_then(|(_, var)| var.dims().first().copied())
        .unwrap_or_default()
}
