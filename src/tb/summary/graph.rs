//! The graph of a network: nodes, and the tensors that flow between them.

use std::collections::{BTreeMap, HashMap};

use prost::Message as _;

use crate::tb::proto::attr_value::{self, ListValue};
use crate::tb::proto::{
    AttrValue, DataType, GraphDef, NodeDef, TensorProto, TensorShapeProto, VersionDef,
    tensor_shape_proto::Dim,
};

/// The version of the format that PyTorch's writer names too.
const PRODUCER: i32 = 22;
/// The attribute that the dashboard labels edges by.
const OUTPUT_SHAPES: &str = "_output_shapes";

/// A graph that is whole: every input is the name of a node.
///
/// TensorBoard draws it from the bottom up. Names with slashes make groups that can be opened, so
/// give each layer a group of its own (`net/conv1/weight`, `net/conv1/conv2d`); groups of the same
/// structure get the same colour. Nodes whose op contains `Const` become small notes beside those
/// that use them. Weights do not belong in a graph: the whole of it goes to the browser.
///
/// ```
/// use cnn_tb::tb::{Graph, Node};
/// let graph = Graph::new([
///     Node::new("images", "Placeholder").output_shape([-1, 1, 28, 28]),
///     Node::new("net/conv1/weight", "Parameter").output_shape([6, 1, 5, 5]),
///     Node::new("net/conv1/conv2d", "Conv2D")
///         .inputs(["images", "net/conv1/weight"])
///         .output_shape([-1, 6, 28, 28])
///         .attribute("padding", "same")
///         .attribute("stride", 1),
/// ])?;
/// # let logdir = tempfile::tempdir()?;
/// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
/// writer.add_graph(&graph)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
}

/// A node of a [`Graph`].
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    name: String,
    op: String,
    inputs: Vec<String>,
    device: String,
    output_shapes: Vec<Vec<i64>>,
    attributes: BTreeMap<String, Attribute>,
}

impl Node {
    /// A node called `name`, which does what `op` says (`Conv2D`, `Placeholder` …).
    pub fn new(name: impl Into<String>, op: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: op.into(),
            inputs: Vec::new(),
            device: String::new(),
            output_shapes: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }

    /// One more input: the name of a node, `name:k` for its k-th output, or `^name` where it only
    /// has to run before (drawn dotted).
    pub fn input(mut self, input: impl Into<String>) -> Self {
        self.inputs.push(input.into());
        self
    }

    /// More inputs; see [`input`](Self::input).
    pub fn inputs<I: Into<String>>(mut self, inputs: impl IntoIterator<Item = I>) -> Self {
        self.inputs.extend(inputs.into_iter().map(Into::into));
        self
    }

    /// The shape of the next output, from the outermost dimension on; -1 is a size that is not
    /// known, as the batch's. It is written on the edges that leave the node.
    pub fn output_shape(mut self, sizes: impl Into<Vec<i64>>) -> Self {
        self.output_shapes.push(sizes.into());
        self
    }

    /// Where the node runs, such as `/device:GPU:0`; nodes can be coloured by it.
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = device.into();
        self
    }

    /// An attribute, shown when the node is selected: `3`, `0.5`, `"same"`, `true`, a list or a
    /// shape; see [`Attribute`]. Given twice, the last stays.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Attribute>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    fn to_proto(&self) -> NodeDef {
        let attributes = self.attributes.iter();
        let mut attr: BTreeMap<_, _> = attributes
            .map(|(name, value)| (name.clone(), value.to_proto()))
            .collect();
        if !self.output_shapes.is_empty() {
            let shapes = self.output_shapes.iter().map(|sizes| shape(sizes));
            let list = ListValue {
                shape: shapes.collect(),
                ..ListValue::default()
            };
            attr.insert(OUTPUT_SHAPES.to_owned(), list_attribute(list));
        }
        NodeDef {
            name: self.name.clone(),
            op: self.op.clone(),
            input: self.inputs.clone(),
            device: self.device.clone(),
            attr,
        }
    }
}

/// The value of a node's attribute, made by `.into()` from what it holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A number.
    Float(f32),
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A shape; -1 is a size that is not known.
    Shape(Vec<i64>),
    /// Several integers, such as a kernel's size.
    Ints(Vec<i64>),
    /// Several numbers.
    Floats(Vec<f32>),
    /// Several texts.
    Texts(Vec<String>),
}

macro_rules! attribute_from {
    ($($from:ty, $variant:ident;)*) => {$(
        impl From<$from> for Attribute {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
attribute_from! {
    i32, Int; u32, Int; i64, Int; f32, Float; &str, Text; String, Text; bool, Bool;
    Vec<i64>, Ints; &[i64], Ints; Vec<f32>, Floats; &[f32], Floats; Vec<String>, Texts;
}

impl From<f64> for Attribute {
    fn from(number: f64) -> Self {
        Self::Float(number as f32)
    }
}

impl<const N: usize> From<[i64; N]> for Attribute {
    fn from(numbers: [i64; N]) -> Self {
        Self::Ints(numbers.into())
    }
}

impl Attribute {
    fn to_proto(&self) -> AttrValue {
        use attr_value::Value;
        let list = match self {
            Self::Ints(i) => ListValue {
                i: i.clone(),
                ..ListValue::default()
            },
            Self::Floats(f) => ListValue {
                f: f.clone(),
                ..ListValue::default()
            },
            Self::Texts(texts) => ListValue {
                s: texts.iter().map(|text| text.clone().into_bytes()).collect(),
                ..ListValue::default()
            },
            single => {
                let value = match single {
                    Self::Int(i) => Value::I(*i),
                    Self::Float(f) => Value::F(*f),
                    Self::Bool(b) => Value::B(*b),
                    Self::Text(text) => Value::S(text.clone().into_bytes()),
                    Self::Shape(sizes) => Value::Shape(shape(sizes)),
                    Self::Ints(_) | Self::Floats(_) | Self::Texts(_) => {
                        Value::List(ListValue::default())
                    }
                };
                return AttrValue { value: Some(value) };
            }
        };
        list_attribute(list)
    }
}

fn list_attribute(list: ListValue) -> AttrValue {
    AttrValue {
        value: Some(attr_value::Value::List(list)),
    }
}

fn shape(sizes: &[i64]) -> TensorShapeProto {
    let dim = |&size| Dim {
        size,
        ..Dim::default()
    };
    TensorShapeProto {
        dim: sizes.iter().map(dim).collect(),
        ..TensorShapeProto::default()
    }
}

/// Why nodes make no graph that TensorBoard could draw.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// There are none.
    #[error("the graph has no nodes; TensorBoard cannot show an empty one")]
    Empty,
    /// A name that an input could not refer to, or that the dashboard's parser would misread.
    #[error(
        "{name:?} cannot name a node; expected a text that is not empty, begins with neither ^ nor \
         a slash, and has no colon, quote, backslash or control character"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Two nodes of one name.
    #[error("two nodes are called {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An edge that begins nowhere: TensorBoard would drop it without a word.
    #[error("{node:?} has the input {input:?}, and there is no such {missing}")]
    Dangling {
        /// The node with that input.
        node: String,
        /// The input.
        input: String,
        /// `node` or `output`.
        missing: &'static str,
    },
    /// A size below -1.
    #[error("{node:?} has an output of shape {sizes:?}; sizes are 0 or more, or -1 if not known")]
    Shape {
        /// The node.
        node: String,
        /// The sizes.
        sizes: Vec<i64>,
    },
}

impl Graph {
    /// The graph of these nodes, in any order.
    ///
    /// # Errors
    /// [`GraphError`] where there are none, a name is odd or not unique, an input names no node, or
    /// an output that its node does not have, a size is below -1.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Result<Self, GraphError> {
        let nodes: Vec<_> = nodes.into_iter().collect();
        if nodes.is_empty() {
            return Err(GraphError::Empty);
        }
        let mut outputs = HashMap::new();
        for node in &nodes {
            check_node(node)?;
            let name = node.name.as_str();
            if outputs.insert(name, node.output_shapes.len()).is_some() {
                let name = name.to_owned();
                return Err(GraphError::Duplicate { name });
            }
        }
        for node in &nodes {
            for input in &node.inputs {
                check_input(&outputs, input).map_err(|missing| GraphError::Dangling {
                    node: node.name.clone(),
                    input: input.clone(),
                    missing,
                })?;
            }
        }
        Ok(Self { nodes })
    }

    /// The graph as event files hold it, serialized.
    pub fn to_bytes(&self) -> Vec<u8> {
        GraphDef {
            node: self.nodes.iter().map(Node::to_proto).collect(),
            versions: Some(VersionDef {
                producer: PRODUCER,
                ..VersionDef::default()
            }),
            ..GraphDef::default()
        }
        .encode_to_vec()
    }
}

fn check_node(node: &Node) -> Result<(), GraphError> {
    let is_odd = |c: char| c.is_control() || ":\"'\\".contains(c);
    if node.name.is_empty() || node.name.starts_with(['^', '/']) || node.name.contains(is_odd) {
        let name = node.name.clone();
        return Err(GraphError::Name { name });
    }
    let is_wrong = |sizes: &&Vec<i64>| sizes.iter().any(|&size| size < -1);
    match node.output_shapes.iter().find(is_wrong) {
        Some(sizes) => Err(GraphError::Shape {
            node: node.name.clone(),
            sizes: sizes.clone(),
        }),
        None => Ok(()),
    }
}

/// Finds the node and the output that an input names, or says what is missing. A node that says
/// nothing of its outputs may have any number.
fn check_input(outputs: &HashMap<&str, usize>, input: &str) -> Result<(), &'static str> {
    let (name, output) = match input.strip_prefix('^') {
        Some(name) => (name, None),
        None => match input.split_once(':') {
            Some((name, output)) => (name, Some(output)),
            None => (input, None),
        },
    };
    let count = *outputs.get(name).ok_or("node")?;
    match output.map(str::parse::<usize>) {
        None => Ok(()),
        Some(Ok(index)) if count == 0 || index < count => Ok(()),
        Some(_) => Err("output"),
    }
}

/// The tag under which TensorBoard's loaders list a run's graph. Source: `data_compat.py` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard>.
pub(crate) const RUN_GRAPH: &str = "__run_graph__";

/// A graph, or what a step of it cost, as the tensor that the same loaders make of it.
pub(crate) fn to_tensor(bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        dtype: DataType::DtString.into(),
        tensor_shape: Some(super::shape([1])),
        string_val: vec![bytes],
        ..TensorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_whole_or_an_error_says_why_not() {
        let error = |nodes: Vec<Node>| Graph::new(nodes).unwrap_err().to_string();
        let node = |name: &str| Node::new(name, "Op");
        assert!(error(vec![]).contains("no nodes"));
        for name in ["", "^a", "/a", "a:0", "a\"b", "a\n"] {
            assert!(
                error(vec![node(name)]).contains("cannot name a node"),
                "{name}"
            );
        }
        assert_eq!(
            error(vec![node("a"), node("b"), node("a")]),
            "two nodes are called \"a\""
        );
        assert_eq!(
            error(vec![node("a").input("b")]),
            "\"a\" has the input \"b\", and there is no such node"
        );
        let two_outputs = || node("a").output_shape([1]).output_shape([]);
        for input in ["a:2", "a:x", "a:-1"] {
            let message = error(vec![two_outputs(), node("b").input(input)]);
            assert!(message.ends_with("no such output"), "{message}");
        }
        assert!(error(vec![node("a").output_shape([-2])]).contains("[-2]"));
        // An edge back, as in a recurrent network, is no error.
        let inputs = ["a", "a:1", "^b", "b:7"];
        assert!(Graph::new([two_outputs(), node("b").inputs(inputs)]).is_ok());
    }

    #[test]
    fn attributes_keep_their_kinds() {
        use attr_value::Value;
        let node = Node::new("a", "Op")
            .attribute("int", 3)
            .attribute("float", 0.5)
            .attribute("text", "same")
            .attribute("bool", true)
            .attribute("shape", Attribute::Shape(vec![-1, 2]))
            .attribute("ints", [5, 5])
            .attribute("floats", vec![0.5_f32])
            .attribute("texts", vec!["x".to_owned()])
            .output_shape([2]);
        let bytes = Graph::new([node]).unwrap().to_bytes();
        let graph = GraphDef::decode(&bytes[..]).unwrap();
        let attr = |name: &str| graph.node[0].attr[name].value.clone().unwrap();
        assert_eq!(attr("int"), Value::I(3));
        assert_eq!(attr("float"), Value::F(0.5));
        assert_eq!(attr("text"), Value::S(b"same".to_vec()));
        assert_eq!(attr("bool"), Value::B(true));
        assert_eq!(attr("shape"), Value::Shape(shape(&[-1, 2])));
        let list = |name: &str| match attr(name) {
            Value::List(list) => list,
            other => panic!("no list: {other:?}"),
        };
        assert_eq!(list("ints").i, [5, 5]);
        assert_eq!(list("floats").f, [0.5]);
        assert_eq!(list("texts").s, [b"x"]);
        assert_eq!(list(OUTPUT_SHAPES).shape, [shape(&[2])]);
    }
}
