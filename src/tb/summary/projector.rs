//! Embeddings: points that the Projector page shows. They lie in files of their own, which
//! `projector_config.pbtxt` in the run directory names; event files say nothing of them. Source:
//! `projector_plugin.py` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/plugins/projector>.

use std::fmt::Write as _;
use std::str::Chars;

use crate::tb::proto::{EmbeddingInfo, ProjectorConfig, SpriteMetadata};

/// The file in the run directory that names all others.
pub const CONFIG_NAME: &str = "projector_config.pbtxt";

/// The points of an embedding as the page reads them: a line for each, tabs between the
/// coordinates.
///
/// Text and no raw numbers: TensorBoard takes a file for text if it happens to be valid UTF-8.
pub fn tensor_tsv(vectors: &[f32], dimensions: usize) -> String {
    let mut text = String::with_capacity(vectors.len() * 12);
    for row in vectors.chunks(dimensions.max(1)) {
        for (index, value) in row.iter().enumerate() {
            let before = if index == 0 { "" } else { "\t" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{before}{value}");
        }
        text.push('\n');
    }
    text
}

/// A table with a line for each point. A table of one column has no line of headings. Tabs and
/// line breaks in a cell become blanks, and an empty line, which the page would skip, a dash.
pub fn metadata_tsv(header: &[String], rows: &[Vec<String>]) -> String {
    let has_heading = header.len() > 1;
    let heading = has_heading.then_some(header);
    let mut text = String::new();
    for row in heading.into_iter().chain(rows.iter().map(Vec::as_slice)) {
        let cells: Vec<_> = row
            .iter()
            .map(|cell| cell.replace(['\t', '\n', '\r'], " "))
            .collect();
        let line = cells.join("\t");
        text += if line.trim().is_empty() { "-" } else { &line };
        text.push('\n');
    }
    text
}

/// Puts `embedding` into `config`, in the place of one of the same name if there is one.
pub fn merge(config: &mut ProjectorConfig, embedding: EmbeddingInfo) {
    let mut known = config.embeddings.iter_mut();
    match known.find(|known| known.tensor_name == embedding.tensor_name) {
        Some(known) => *known = embedding,
        None => config.embeddings.push(embedding),
    }
}

/// The configuration in the text format of protocol buffers.
pub fn to_text(config: &ProjectorConfig) -> String {
    let mut text = String::new();
    string_field(
        &mut text,
        "",
        "model_checkpoint_path",
        &config.model_checkpoint_path,
    );
    for embedding in &config.embeddings {
        text += "embeddings {\n";
        string_field(&mut text, "  ", "tensor_name", &embedding.tensor_name);
        string_field(&mut text, "  ", "metadata_path", &embedding.metadata_path);
        string_field(&mut text, "  ", "bookmarks_path", &embedding.bookmarks_path);
        number_fields(&mut text, "  ", "tensor_shape", &embedding.tensor_shape);
        if let Some(sprite) = &embedding.sprite {
            text += "  sprite {\n";
            string_field(&mut text, "    ", "image_path", &sprite.image_path);
            number_fields(
                &mut text,
                "    ",
                "single_image_dim",
                &sprite.single_image_dim,
            );
            text += "  }\n";
        }
        string_field(&mut text, "  ", "tensor_path", &embedding.tensor_path);
        text += "}\n";
    }
    string_field(
        &mut text,
        "",
        "model_checkpoint_dir",
        &config.model_checkpoint_dir,
    );
    text
}

fn string_field(text: &mut String, indent: &str, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    *text += &format!("{indent}{name}: \"");
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\n' => *text += "\\n",
            '\r' => *text += "\\r",
            '\t' => *text += "\\t",
            _ => text.push(character),
        }
    }
    *text += "\"\n";
}

fn number_fields(text: &mut String, indent: &str, name: &str, values: &[u32]) {
    for value in values {
        *text += &format!("{indent}{name}: {value}\n");
    }
}

/// Reads a configuration, whoever wrote it; if it is none, what was found, and what was expected.
///
/// What protocol buffers allow beyond what writers of this file use (lists in brackets, numeric
/// escapes, strings in pieces) is refused.
pub fn from_text(text: &str) -> Result<ProjectorConfig, String> {
    let mut tokens = Tokens { rest: text.chars() };
    let mut config = ProjectorConfig::default();
    while let Some(name) = tokens.next()? {
        match name.as_str() {
            "model_checkpoint_path" => config.model_checkpoint_path = tokens.string()?,
            "model_checkpoint_dir" => config.model_checkpoint_dir = tokens.string()?,
            "embeddings" => config.embeddings.push(embedding(&mut tokens)?),
            _ => return Err(unknown(&name)),
        }
    }
    Ok(config)
}

fn embedding(tokens: &mut Tokens<'_>) -> Result<EmbeddingInfo, String> {
    let mut embedding = EmbeddingInfo::default();
    tokens.open()?;
    loop {
        match tokens.expect()?.as_str() {
            "}" => return Ok(embedding),
            "tensor_name" => embedding.tensor_name = tokens.string()?,
            "metadata_path" => embedding.metadata_path = tokens.string()?,
            "bookmarks_path" => embedding.bookmarks_path = tokens.string()?,
            "tensor_path" => embedding.tensor_path = tokens.string()?,
            "tensor_shape" => embedding.tensor_shape.push(tokens.number()?),
            "sprite" => embedding.sprite = Some(sprite(tokens)?),
            name => return Err(unknown(name)),
        }
    }
}

fn sprite(tokens: &mut Tokens<'_>) -> Result<SpriteMetadata, String> {
    let mut sprite = SpriteMetadata::default();
    tokens.open()?;
    loop {
        match tokens.expect()?.as_str() {
            "}" => return Ok(sprite),
            "image_path" => sprite.image_path = tokens.string()?,
            "single_image_dim" => sprite.single_image_dim.push(tokens.number()?),
            name => return Err(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> String {
    format!("{name:?}; expected a field of a projector configuration")
}

/// The words of a text: names and numbers, `:`, `{`, `}`, and strings with their opening quote.
struct Tokens<'a> {
    rest: Chars<'a>,
}

impl Tokens<'_> {
    fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            match self.rest.next() {
                None => return Ok(None),
                Some('#') => while self.rest.next().is_some_and(|next| next != '\n') {},
                Some(quote @ ('"' | '\'')) => return self.quoted(quote).map(Some),
                Some(first) if is_word(first) => {
                    let mut word = String::from(first);
                    while let Some(next) = self.rest.clone().next().filter(|&next| is_word(next)) {
                        word.push(next);
                        self.rest.next();
                    }
                    return Ok(Some(word));
                }
                Some(mark @ (':' | '{' | '}')) => return Ok(Some(mark.to_string())),
                Some(blank) if blank.is_whitespace() || blank == ';' || blank == ',' => {}
                Some(other) => return Err(format!("{other:?}; expected a name")),
            }
        }
    }

    /// A string whose opening quote was read; it is kept.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut string = String::from('"');
        while let Some(next) = self.rest.next() {
            if next == quote {
                return Ok(string);
            }
            string.push(match next {
                '\\' => match self.rest.next() {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(same @ ('"' | '\'' | '\\')) => same,
                    other => return Err(format!("the escape {other:?}; expected one of nrt\"'\\")),
                },
                _ => next,
            });
        }
        Err("the end in a string; expected a quote".to_owned())
    }

    fn expect(&mut self) -> Result<String, String> {
        self.next()?
            .ok_or_else(|| "the end; expected `}`".to_owned())
    }

    fn open(&mut self) -> Result<(), String> {
        match self.expect()?.as_str() {
            "{" => Ok(()),
            // Allowed before a message.
            ":" => self.open(),
            found => Err(format!("{found:?}; expected `{{`")),
        }
    }

    fn value(&mut self) -> Result<String, String> {
        match self.expect()?.as_str() {
            ":" => self.expect(),
            found => Err(format!("{found:?}; expected `:`")),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let value = self.value()?;
        match value.strip_prefix('"') {
            Some(string) => Ok(string.to_owned()),
            None => Err(format!("{value:?}; expected a string in quotes")),
        }
    }

    fn number(&mut self) -> Result<u32, String> {
        let value = self.value()?;
        value
            .parse()
            .map_err(|_| format!("{value:?}; expected a number of 32 bits"))
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ProjectorConfig {
        let named = |name: &str| EmbeddingInfo {
            tensor_name: name.to_owned(),
            tensor_path: "projector/a/00001/tensors.tsv".to_owned(),
            ..EmbeddingInfo::default()
        };
        let mut first = named("say \"fc1\":\\00001\n\tü");
        first.metadata_path = "metadata.tsv".to_owned();
        first.tensor_shape = vec![3, 2];
        first.sprite = Some(SpriteMetadata {
            image_path: "sprite.png".to_owned(),
            single_image_dim: vec![28, 27],
        });
        ProjectorConfig {
            model_checkpoint_path: "model".to_owned(),
            embeddings: vec![first, named("fc2")],
            ..ProjectorConfig::default()
        }
    }

    #[test]
    fn a_configuration_comes_back() {
        assert_eq!(from_text(&to_text(&config())), Ok(config()));
        assert_eq!(from_text(""), Ok(ProjectorConfig::default()));
        let written_by_others = "# by hand\nembeddings: { tensor_name: 'fc', tensor_shape: 3;\n\
                                 sprite{single_image_dim:28} }";
        let found = from_text(written_by_others).unwrap();
        assert_eq!(found.embeddings[0].tensor_name, "fc");
        assert_eq!(found.embeddings[0].tensor_shape, [3]);
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for (text, expected) in [
            ("colour: 3", "\"colour\"; expected a field"),
            ("embeddings { size: 3 }", "\"size\"; expected a field"),
            ("embeddings { tensor_name: \"a\"", "the end; expected `}`"),
            ("embeddings { tensor_name: 3 }", "\"3\"; expected a string"),
            (
                "embeddings { tensor_shape: -1 }",
                "\"-1\"; expected a number",
            ),
            ("embeddings 3", "\"3\"; expected `{`"),
            ("model_checkpoint_path \"a\"", "expected `:`"),
            ("model_checkpoint_path: \"a", "the end in a string"),
            ("model_checkpoint_path: \"\\x\"", "the escape"),
            ("<>", "'<'; expected a name"),
        ] {
            let error = from_text(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        // No prefix of a good one panics.
        let text = to_text(&config());
        for (end, _) in text.char_indices() {
            let _ = from_text(&text[..end]);
        }
    }

    #[test]
    fn an_embedding_takes_the_place_of_one_of_its_name() {
        let mut merged = config();
        let again = EmbeddingInfo {
            tensor_name: "fc2".to_owned(),
            ..EmbeddingInfo::default()
        };
        merge(&mut merged, again.clone());
        assert_eq!(merged.embeddings, [config().embeddings[0].clone(), again]);
        merge(&mut merged, EmbeddingInfo::default());
        assert_eq!(merged.embeddings.len(), 3);
    }

    #[test]
    fn tables_have_a_line_for_each_point() {
        assert_eq!(
            tensor_tsv(&[0.1, -2.0, 1e-30, 3.5], 2),
            "0.1\t-2\n0.000000000000000000000000000001\t3.5\n"
        );
        let row = |cells: &[&str]| {
            cells
                .iter()
                .map(|&cell| cell.to_owned())
                .collect::<Vec<_>>()
        };
        let rows = [row(&["7", "a\tb\nc"]), row(&["1", "ü"])];
        let header = row(&["label", "note"]);
        assert_eq!(
            metadata_tsv(&header, &rows),
            "label\tnote\n7\ta b c\n1\tü\n"
        );
        let rows = [row(&["7"]), row(&[""])];
        assert_eq!(metadata_tsv(&header[..1], &rows), "7\n-\n");
    }
}
