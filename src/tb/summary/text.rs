//! Texts, shown as Markdown.

use crate::tb::proto::summary::Value;
use crate::tb::proto::{DataClass, DataType, TensorProto, TensorShapeProto};
use crate::tb::summary::{Misfit, tensor_value};

pub(super) const PLUGIN: &str = "text";

/// One Markdown document: a string tensor of rank 0.
pub fn to_value(tag: &str, text: &str) -> Value {
    let tensor = TensorProto {
        dtype: DataType::DtString.into(),
        tensor_shape: Some(TensorShapeProto::default()),
        string_val: vec![text.as_bytes().to_vec()],
        ..TensorProto::default()
    };
    tensor_value(tag, PLUGIN, Vec::new(), DataClass::Tensor, tensor)
}

/// The text in a string tensor; the elements of a list or table come one a line. Bytes that are
/// not UTF-8 are replaced.
pub fn from_tensor(tensor: &TensorProto) -> Option<String> {
    let lines: Vec<_> = tensor
        .string_val
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .collect();
    let is_text = tensor.dtype == i32::from(DataType::DtString);
    is_text.then(|| lines.join("\n"))
}

/// A table in Markdown, its cells shown as they are: what would be markup in them is escaped, line
/// breaks become blanks.
///
/// # Errors
/// An empty header, and a row that has another number of cells than it.
///
/// ```
/// use cnn_tb::tb::summary::text;
/// let table = text::table(["class", "accuracy"], [["cat|dog", "0.9"], ["bird", "0.8"]])?;
/// assert_eq!(table, "| class | accuracy |\n|---|---|\n| cat\\|dog | 0.9 |\n| bird | 0.8 |\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn table<H: AsRef<str>, C: AsRef<str>, R: IntoIterator<Item = C>>(
    header: impl IntoIterator<Item = H>,
    rows: impl IntoIterator<Item = R>,
) -> Result<String, Misfit> {
    let mut table = String::new();
    let columns = append_row(&mut table, header);
    if columns == 0 {
        return Err(Misfit::new("a header without cells", "one or more"));
    }
    table.push('|');
    table.push_str(&"---|".repeat(columns));
    table.push('\n');
    for (index, row) in rows.into_iter().enumerate() {
        let cells = append_row(&mut table, row);
        if cells != columns {
            let found = format!("{cells} cells in row {index}");
            return Err(Misfit::new(found, format!("{columns}, as in the header")));
        }
    }
    Ok(table)
}

/// Appends a line with these cells; gives their number.
fn append_row<C: AsRef<str>>(table: &mut String, cells: impl IntoIterator<Item = C>) -> usize {
    let mut count = 0;
    table.push('|');
    for cell in cells {
        table.push(' ');
        append_escaped(table, cell.as_ref());
        table.push_str(" |");
        count += 1;
    }
    table.push('\n');
    count
}

fn append_escaped(markdown: &mut String, plain: &str) {
    for c in plain.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '|' => markdown.extend(['\\', c]),
            '&' => markdown.push_str("&amp;"),
            '<' => markdown.push_str("&lt;"),
            '>' => markdown.push_str("&gt;"),
            c if c.is_control() => markdown.push(' '),
            c => markdown.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_equal_rows() {
        let error = table(["a", "b"], [vec!["1", "2"], vec!["3"]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 cells in row 1; expected 2, as in the header"
        );
        let empty: [&str; 0] = [];
        assert!(table(empty, [empty]).is_err());
        assert_eq!(
            table(["<b>"], [["*\n_"]]).unwrap(),
            "| &lt;b&gt; |\n|---|\n| \\* \\_ |\n"
        );
    }
    use crate::tb::proto::summary::value;

    #[test]
    fn a_text_comes_back_and_other_tensors_do_not() {
        let Some(value::Value::Tensor(mut tensor)) = to_value("note", "**ü**").value else {
            panic!("not a tensor");
        };
        assert_eq!(from_tensor(&tensor).as_deref(), Some("**ü**"));
        tensor.string_val.push(b"\xff!".to_vec());
        assert_eq!(from_tensor(&tensor).as_deref(), Some("**ü**\n\u{fffd}!"));
        assert_eq!(from_tensor(&TensorProto::default()), None);
    }
}
