//! The names of classes, as tags and pictures have them.

/// The longest name in a picture, in letters.
const MAX_DRAWN: usize = 16;

/// The tag of a class within a group: its name with `_` for `/`, which would begin another group. No
/// two are equal, since no two names of a data set are, also written so.
pub fn tag(name: &str) -> String {
    name.replace('/', "_")
}

/// The names as pictures show them: cut at 16 letters, and the number of the class in place of a name
/// with a letter that the font of pictures has not got.
pub fn drawn(names: &[String]) -> Vec<String> {
    let drawn = names.iter().enumerate().map(|(class, name)| {
        let is_drawable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match (is_drawable, name.get(..MAX_DRAWN - 2)) {
            (false, _) => class.to_string(),
            (true, Some(start)) if name.len() > MAX_DRAWN => format!("{start}.."),
            (true, _) => name.clone(),
        }
    });
    drawn.collect()
}

/// How many letters the longest of these has.
pub fn longest(names: &[String]) -> usize {
    let lengths = names.iter().map(|name| name.chars().count());
    lengths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_drawn_as_far_as_they_can_be() {
        let names = ["T-shirt/top", "鳥", "sixteen letters.", "seventeen letters"];
        let drawn = drawn(&names.map(String::from));
        assert_eq!(
            drawn,
            ["T-shirt/top", "1", "sixteen letters.", "seventeen lett.."]
        );
        assert_eq!(longest(&drawn), 16);
        assert_eq!(tag(names[0]), "T-shirt_top");
    }
}
