//! Networks as lists of layers: what is planned is what is computed, and what is wrong is said.

#![cfg(feature = "train")]
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Module, Tensor};
use cnn_tb::nn::{Init, Layer, NamedNetwork, Network, Padding, Parameters, Plan};
use cnn_tb::train::Config;
use proptest::prelude::*;

/// The layers of a `config.toml` with the one table `text`, or with several.
fn layers(text: &str) -> Vec<Layer> {
    Config::from_toml(text).unwrap().network_layers()
}

/// A table for each layer, whose settings are parted by semicolons.
fn toml(layers: &[&str]) -> String {
    let tables = layers.iter().map(|layer| {
        let settings = layer.replace("; ", "\n");
        format!("[[layers]]\n{settings}\n")
    });
    tables.collect()
}

#[test]
fn layers_come_back_from_their_toml() {
    let text = toml(&[
        "type = \"conv\"; channels = 8; kernel = 3",
        "type = \"batch_norm\"",
        "type = \"relu\"",
        "type = \"max_pool\"",
        "type = \"conv\"; channels = 4; kernel = 4; stride = 2; padding = 1",
        "type = \"avg_pool\"; size = 3; stride = 1",
        "type = \"dropout\"; rate = 0.25",
        "type = \"linear\"; units = 20",
        "type = \"linear\"",
    ]);
    let expected = [
        Layer::conv(8, 3),
        Layer::BatchNorm {},
        Layer::Relu {},
        Layer::max_pool(2),
        Layer::Conv {
            channels: 4,
            kernel: 4,
            stride: 2,
            padding: Padding::Zeros(1),
        },
        Layer::AvgPool {
            size: 3,
            stride: Some(1),
        },
        Layer::Dropout { rate: 0.25 },
        Layer::linear(20),
        Layer::classes(),
    ];
    assert_eq!(layers(&text), expected);
    let config = Config::from_toml(&text).unwrap();
    assert_eq!(config.network_name(), "own");
    assert_eq!(Config::from_toml(&config.to_toml()).unwrap(), config);
    for network in NamedNetwork::ALL {
        let name = network.name();
        let config = Config::from_toml(&format!("network = \"{name}\"")).unwrap();
        assert_eq!(config.network_layers(), network.layers());
        assert_eq!(config.network_name(), name);
        assert_eq!(
            config
                .to_toml()
                .contains(&format!("network = \"{name}\"\n")),
            network != NamedNetwork::Article,
            "trainings of before have no such line"
        );
    }
    let both = Config::from_toml(&format!("network = \"article\"\n{text}")).unwrap();
    assert_eq!(
        both.validate().unwrap_err().to_string(),
        "network is article; it must be left out beside [[layers]], which are a network of their own"
    );
}

#[test]
fn what_toml_cannot_be_read_as_is_said() {
    for (layer, line, expected) in [
        ("type = \"conv\"; channels = 8", 1, "missing field `kernel`"),
        ("kernel = 3", 1, "missing field `type`"),
        (
            "type = \"convolution\"",
            2,
            "unknown variant `convolution`, expected one of `conv`, `batch_norm`, `relu`, \
             `max_pool`, `avg_pool`, `dropout`, `linear`",
        ),
        (
            "type = \"relu\"; size = 2",
            1,
            "unknown field `size`, there are no fields",
        ),
        (
            "type = \"linear\"; unit = 2",
            1,
            "unknown field `unit`, expected `units`",
        ),
        (
            "type = \"conv\"; channels = -8; kernel = 3",
            1,
            "invalid value: integer `-8`, expected usize",
        ),
        (
            "type = \"conv\"; channels = 8; kernel = 3; padding = \"valid\"",
            1,
            "invalid value: string \"valid\", expected \"same\" or a number of zeros on each side",
        ),
        (
            "type = \"conv\"; channels = 8; kernel = 3; padding = -1",
            1,
            "invalid value: integer `-1`, expected \"same\" or a number of zeros on each side",
        ),
    ] {
        let text = toml(&[layer]);
        let error = Config::from_toml(&text).unwrap_err();
        assert_eq!(error.message(), expected, "{layer}");
        let before = &text[..error.span().unwrap().start];
        assert_eq!(before.matches('\n').count() + 1, line, "{layer}");
    }
}

/// What is wrong with layers for 28×28 images of ten classes.
fn problem(layers: &[Layer]) -> String {
    Plan::new(layers, [1, 28, 28], 10).unwrap_err().to_string()
}

#[test]
fn errors_name_the_layer() {
    let conv = |channels, kernel, stride, padding| Layer::Conv {
        channels,
        kernel,
        stride,
        padding,
    };
    let pool = |size, stride| Layer::AvgPool { size, stride };
    let last = || Layer::classes();
    for (layers, expected) in [
        (
            vec![],
            "the network has 0 layers; it must have from 1 to 1,000",
        ),
        (
            vec![Layer::Relu {}; 1001],
            "the network has 1001 layers; it must have from 1 to 1,000",
        ),
        (
            vec![Layer::conv(0, 3), last()],
            "layer 1 (conv): channels is 0; it must be from 1 to 65536",
        ),
        (
            vec![Layer::conv(8, 0), last()],
            "layer 1 (conv): kernel is 0; it must be from 1 to 255",
        ),
        (
            vec![conv(8, 3, 0, Padding::Same), last()],
            "layer 1 (conv): stride is 0; it must be from 1 to 255",
        ),
        (
            vec![Layer::conv(8, 4), last()],
            "layer 1 (conv): padding \"same\" takes an odd kernel, not 4; take another kernel, or \
             give the padding as a number",
        ),
        (
            vec![conv(8, 3, 1, Padding::Zeros(3)), last()],
            "layer 1 (conv): padding is 3; it must be less than the kernel, 3, or windows hold \
             nothing but zeros",
        ),
        (
            vec![
                Layer::max_pool(16),
                conv(8, 5, 1, Padding::Zeros(1)),
                last(),
            ],
            "layer 2 (conv): windows of 5x5 do not fit into maps of 1x1 with padding 1; take smaller \
             ones, or pool less before",
        ),
        (
            vec![
                Layer::max_pool(14),
                Layer::max_pool(2),
                pool(2, None),
                last(),
            ],
            "layer 3 (avg_pool): windows of 2x2 do not fit into maps of 1x1; take smaller ones, or \
             pool less before",
        ),
        (
            vec![Layer::max_pool(17), last()],
            "layer 1 (max_pool): size is 17; it must be from 1 to 16",
        ),
        (
            vec![pool(2, Some(0)), last()],
            "layer 1 (avg_pool): stride is 0; it must be from 1 to 255",
        ),
        (
            vec![Layer::Dropout { rate: 1.0 }, last()],
            "layer 1 (dropout): rate is 1; it must be a share from 0 to below 1",
        ),
        (
            vec![Layer::Dropout { rate: f64::NAN }, last()],
            "layer 1 (dropout): rate is NaN; it must be a share from 0 to below 1",
        ),
        (
            vec![Layer::linear(30), Layer::conv(8, 3), last()],
            "layer 2 (conv): it takes maps with height and width, but gets 30 numbers; put it before \
             the first linear layer",
        ),
        (
            vec![last(), Layer::Relu {}],
            "layer 1 (linear): it has no units, as only the last layer may, which has one for each \
             class; say how many",
        ),
        (
            vec![Layer::linear(10)],
            "layer 1 (linear): it is the last layer, which has a unit for each class; leave units = \
             10 out",
        ),
        (
            vec![Layer::linear(20), Layer::Relu {}],
            "layer 2 (relu): it is the last layer, which must be a linear one without units, with a \
             number for each class; add one",
        ),
        (
            vec![Layer::linear(0), last()],
            "layer 1 (linear): units is 0; it must be from 1 to 65536",
        ),
        (
            vec![Layer::conv(65_536, 1), last()],
            "layer 1 (conv): it gives 65536x28x28 numbers for an image; it may give 16777216: take \
             fewer channels or a larger stride",
        ),
        (
            vec![Layer::linear(10_000), Layer::linear(10_000), last()],
            "layer 2 (linear): with it the network has 107860000 parameters; it may have 100000000: \
             take fewer units or channels, or pool more before",
        ),
    ] {
        assert_eq!(problem(&layers), expected);
    }
    let article = NamedNetwork::Article.layers();
    for (image, classes, expected) in [
        ([1, 0, 28], 10, "there are 10 classes of 1x0x28 images"),
        ([1, 28, 28], 0, "there are 0 classes of 1x28x28 images"),
        ([usize::MAX; 3], 10, "a network needs images and classes"),
    ] {
        let error = Plan::new(&article, image, classes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_named_networks_are_what_they_are_said_to_be() {
    let plan = |network: NamedNetwork| Plan::new(&network.layers(), [1, 28, 28], 10).unwrap();
    let outputs = |plan: &Plan| -> Vec<String> {
        let layers = plan.layers().iter().filter(|layer| layer.parameters > 0);
        layers
            .map(|layer| format!("{} {}", layer.name, layer.output))
            .collect()
    };
    let article = plan(NamedNetwork::Article);
    assert_eq!(article.parameters(), 104_342);
    let expected = ["conv1 6x28x28", "conv2 16x14x14", "fc1 128", "fc2 10"];
    assert_eq!(outputs(&article), expected);
    // As in PyTorch's tutorials.
    let lenet5 = plan(NamedNetwork::Lenet5);
    assert_eq!(lenet5.parameters(), 61_706);
    let expected = [
        "conv1 6x28x28",
        "conv2 16x10x10",
        "fc1 120",
        "fc2 84",
        "fc3 10",
    ];
    assert_eq!(outputs(&lenet5), expected);
    // As docs/networks.md says.
    let sprint = plan(NamedNetwork::Sprint);
    assert_eq!(
        (sprint.parameters(), sprint.multiply_adds()),
        (44_650, 485_120)
    );
    let deep = plan(NamedNetwork::Deep);
    assert_eq!(
        (deep.parameters(), deep.multiply_adds()),
        (288_618, 16_631_552)
    );
}

/// Numbers from 0 to 1 that differ from each other.
fn images(count: usize, [channels, height, width]: [usize; 3]) -> Tensor {
    let len = count * channels * height * width;
    let numbers = (0..len).map(|index| (index * 7919 % 1009) as f32 / 1009.0);
    let shape = (count, channels, height, width);
    Tensor::from_iter(numbers, &Device::Cpu)
        .unwrap()
        .reshape(shape)
        .unwrap()
}

fn any_layer() -> impl Strategy<Value = Layer> {
    let padding = prop_oneof![Just(Padding::Same), (0..3_usize).prop_map(Padding::Zeros)];
    let conv = (1..5_usize, 1..6_usize, 1..4_usize, padding);
    let stride = || prop::option::of(1..4_usize);
    prop_oneof![
        4 => conv.prop_map(|(channels, kernel, stride, padding)| Layer::Conv {
            channels,
            kernel,
            stride,
            padding,
        }),
        4 => Just(Layer::Relu {}),
        2 => Just(Layer::max_pool(2)),
        1 => (1..4_usize, stride()).prop_map(|(size, stride)| Layer::MaxPool { size, stride }),
        1 => (1..4_usize, stride()).prop_map(|(size, stride)| Layer::AvgPool { size, stride }),
        1 => Just(Layer::BatchNorm {}),
        1 => (0.0..0.9).prop_map(|rate| Layer::Dropout { rate }),
        1 => (1..20_usize).prop_map(Layer::linear),
    ]
}

#[test]
fn what_is_planned_is_what_is_computed() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let sizes = (1..3_usize, 1..14_usize, 1..14_usize, 1..6_usize);
    let networks = (prop::collection::vec(any_layer(), 0..9), sizes);
    let planned = std::cell::Cell::new(0);
    runner
        .run(
            &networks,
            |(mut layers, (channels, height, width, classes))| {
                layers.push(Layer::classes());
                let image = [channels, height, width];
                let Ok(plan) = Plan::new(&layers, image, classes) else {
                    return Ok(());
                };
                planned.set(planned.get() + 1);
                let parameters = Parameters::new(3, Init::Layers);
                let network = Network::new(&plan, parameters.builder(&Device::Cpu)).unwrap();
                prop_assert_eq!(plan.parameters(), parameters.count());
                let named = parameters.named();
                let owners = named
                    .iter()
                    .map(|(name, _)| name.split('.').next().unwrap());
                for owner in owners {
                    prop_assert!(plan.layers().iter().any(|layer| layer.name == owner));
                }

                let images = images(2, image);
                let one_by_one = network.outputs_one_by_one(&images).unwrap();
                prop_assert_eq!(one_by_one.len(), plan.layers().len());
                for (layer, (_, output)) in plan.layers().iter().zip(&one_by_one) {
                    prop_assert_eq!(&output.dims()[1..], layer.output.sizes());
                }
                // Fused or not, the same comes out.
                for (computed, output) in network.outputs(&images).unwrap() {
                    let (_, single) = &one_by_one[computed.end - 1];
                    let difference = (output - single).unwrap().abs().unwrap();
                    let furthest = difference.flatten_all().unwrap().max(0).unwrap();
                    let furthest = furthest.to_dtype(DType::F32).unwrap();
                    prop_assert!(furthest.to_scalar::<f32>().unwrap() < 1e-3, "{:?}", layers);
                }
                let logits = network.forward(&images).unwrap();
                prop_assert_eq!(logits.dims(), [2, classes]);
                Ok(())
            },
        )
        .unwrap();
    assert!(planned.get() > 100, "{} of 600 networks fit", planned.get());
}
