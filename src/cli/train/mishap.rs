//! What goes wrong beside a training, which goes on.

use std::fmt::Display;

/// Something that is done again and again while a network is trained, and may fail for a while, as a
/// log is written to a disk that is full.
#[derive(Debug, Default)]
pub struct Mishap {
    present: Option<String>,
}

impl Mishap {
    /// Takes note of how it went this time; returns what there is to say, if that is news.
    pub fn note<E: Display>(&mut self, result: Result<(), E>) -> Option<String> {
        match result {
            Ok(()) => {
                let before = self.present.take()?;
                Some(format!("no longer: {before}"))
            }
            Err(error) => {
                let error = error.to_string();
                let is_news = self.present.replace(error.clone()).is_none();
                is_news.then(|| format!("{error}; the training goes on"))
            }
        }
    }

    /// What went wrong the last time.
    pub fn present(&self) -> Option<&str> {
        self.present.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_is_said_once_and_when_it_is_over() {
        let mut mishap = Mishap::default();
        assert_eq!(mishap.note(Ok::<_, &str>(())), None);
        let said = mishap.note(Err("the disk is full"));
        assert_eq!(
            said.as_deref(),
            Some("the disk is full; the training goes on")
        );
        assert_eq!(mishap.note(Err("the disk is gone")), None);
        assert_eq!(mishap.present(), Some("the disk is gone"));
        let said = mishap.note(Ok::<_, &str>(()));
        assert_eq!(said.as_deref(), Some("no longer: the disk is gone"));
        assert_eq!(mishap.present(), None);
    }
}
