//! What the ops of a network are called.

use std::collections::BTreeMap;

use crate::nn::{Plan, PlannedLayer};

/// A name for each layer of `plan`: the stage that it belongs to and what `label` calls it, as
/// `conv1/relu`; where a stage has several of a kind, the next one is `conv1/relu_2`.
pub fn op_names(plan: &Plan, label: impl Fn(&PlannedLayer) -> String) -> Vec<String> {
    let mut counts = BTreeMap::new();
    let name = |layer: &PlannedLayer| {
        let name = format!("{}/{}", layer.stage, label(layer));
        let count = counts.entry(name.clone()).or_insert(0);
        *count += 1;
        match *count {
            1 => name,
            count => format!("{name}_{count}"),
        }
    };
    plan.layers().iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Layer;

    #[test]
    fn the_second_of_a_kind_in_a_stage_has_a_number() {
        let layers = [
            Layer::Relu {},
            Layer::conv(2, 3),
            Layer::Relu {},
            Layer::Relu {},
            Layer::classes(),
        ];
        let plan = Plan::new(&layers, [1, 4, 4], 3).unwrap();
        assert_eq!(
            op_names(&plan, |layer| layer.layer.kind().to_owned()),
            [
                "input/relu",
                "conv1/conv",
                "conv1/relu",
                "conv1/relu_2",
                "fc1/linear"
            ]
        );
    }
}
