//! The data sets that are known by name: where they are published, and what their files must be.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{DataError, IdxError};

/// A published data set of four IDX files.
///
/// ```
/// use cnn_tb::data::Published;
///
/// let set = Published::by_name("fashion-mnist").expect("a name of the catalog");
/// assert_eq!((set.title, set.class_names[9]), ("Fashion-MNIST", "Ankle boot"));
/// ```
#[derive(Debug)]
pub struct Published {
    /// What it is called by on the command line and in `config.toml`.
    pub name: &'static str,
    /// What its authors call it.
    pub title: &'static str,
    /// Who made it, and what their licence is.
    pub licence: &'static str,
    /// Where its authors tell about it.
    pub homepage: &'static str,
    /// What the URL of each file begins with; of a set in the catalog it begins with `https://`.
    pub base_url: &'static str,
    /// Rows and columns of an image.
    pub image_size: (usize, usize),
    /// The names of the classes, in the order of the labels.
    pub class_names: &'static [&'static str],
    /// Training images and labels, test images and labels.
    pub files: [PublishedFile; 4],
}

/// A file of a published data set, compressed with gzip.
#[derive(Debug)]
pub struct PublishedFile {
    /// Its name, on the server and here.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 (FIPS 180-4) in small hexadecimal digits.
    pub sha256: &'static str,
}

/// Sizes and checksums of both sets are those of TensorFlow Datasets, `url_checksums/fashion_mnist.txt`
/// and `kmnist.txt` (<https://github.com/tensorflow/datasets>, commit 333639b3); of Fashion-MNIST the
/// authors publish MD5 sums alone. The names of the classes are the authors' and torchvision's
/// (`torchvision/datasets/mnist.py`, <https://github.com/pytorch/vision>, commit 01977a18).
static CATALOG: [Published; 2] = [
    Published {
        name: "fashion-mnist",
        title: "Fashion-MNIST",
        licence: "MIT, Zalando SE",
        homepage: "https://github.com/zalandoresearch/fashion-mnist",
        base_url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        image_size: (28, 28),
        class_names: &[
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
        files: [
            PublishedFile {
                name: "train-images-idx3-ubyte.gz",
                bytes: 26_421_880,
                sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            },
            PublishedFile {
                name: "train-labels-idx1-ubyte.gz",
                bytes: 29_515,
                sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            },
            PublishedFile {
                name: "t10k-images-idx3-ubyte.gz",
                bytes: 4_422_102,
                sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            },
            PublishedFile {
                name: "t10k-labels-idx1-ubyte.gz",
                bytes: 5_148,
                sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            },
        ],
    },
    Published {
        name: "kmnist",
        title: "Kuzushiji-MNIST",
        licence: "CC BY-SA 4.0, \"KMNIST Dataset\" (created by CODH), adapted from \"Kuzushiji Dataset\" \
                  (created by NIJL and others), doi:10.20676/00000341",
        homepage: "https://github.com/rois-codh/kmnist",
        base_url: "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        image_size: (28, 28),
        class_names: &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
        files: [
            PublishedFile {
                name: "train-images-idx3-ubyte.gz",
                bytes: 18_165_135,
                sha256: "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            },
            PublishedFile {
                name: "train-labels-idx1-ubyte.gz",
                bytes: 29_497,
                sha256: "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            },
            PublishedFile {
                name: "t10k-images-idx3-ubyte.gz",
                bytes: 3_041_136,
                sha256: "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            },
            PublishedFile {
                name: "t10k-labels-idx1-ubyte.gz",
                bytes: 5_120,
                sha256: "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            },
        ],
    },
];

impl Published {
    /// The catalog.
    pub fn all() -> &'static [Self] {
        &CATALOG
    }

    /// The set of this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        CATALOG.iter().find(|set| set.name == name)
    }

    /// Where one of its files is published.
    pub fn url(&self, file: &PublishedFile) -> String {
        format!("{}{}", self.base_url, file.name)
    }

    /// The files that `directory` does not hold.
    pub fn missing(&self, directory: &Path) -> Vec<&PublishedFile> {
        let is_missing = |file: &&PublishedFile| !directory.join(file.name).is_file();
        self.files.iter().filter(is_missing).collect()
    }

    /// The paths of the four files in `directory`, each held against its checksum: that takes a
    /// tenth of a second, and what the disk or its owner did to a file since is seen.
    pub(super) fn checked(&self, directory: &Path) -> Result<[PathBuf; 4], DataError> {
        let missing = self.missing(directory);
        if !missing.is_empty() {
            return Err(DataError::NotThere {
                directory: directory.to_owned(),
                title: self.title,
                missing: missing.iter().map(|file| file.name).collect(),
            });
        }
        for file in &self.files {
            file.check(&directory.join(file.name))?;
        }
        Ok(self.files.each_ref().map(|file| directory.join(file.name)))
    }
}

impl PublishedFile {
    /// Holds the file at `path` against the size and the checksum that were published.
    fn check(&self, path: &Path) -> Result<(), DataError> {
        let io_error = |cause| {
            let path = path.to_owned();
            IdxError::Io { path, cause }
        };
        let other = |found, expected| {
            let path = path.to_owned();
            Err(DataError::NotAsPublished {
                path,
                found,
                expected,
            })
        };
        let bytes = fs::metadata(path).map_err(io_error)?.len();
        if bytes != self.bytes {
            return other(format!("{bytes} bytes"), format!("{} bytes", self.bytes));
        }
        let mut hasher = Sha256::new();
        let file = File::open(path).map_err(io_error)?;
        io::copy(&mut file.take(bytes), &mut hasher).map_err(io_error)?;
        let found = hexadecimal(&hasher.finalize());
        match found == self.sha256 {
            true => Ok(()),
            false => other(
                format!("SHA-256 {found}"),
                format!("SHA-256 {}", self.sha256),
            ),
        }
    }
}

/// Bytes as checksums are written.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_can_be_used() {
        for set in Published::all() {
            assert!(std::ptr::eq(Published::by_name(set.name).unwrap(), set));
            assert!(set.base_url.starts_with("https://") && set.base_url.ends_with('/'));
            for (file, start) in set
                .files
                .iter()
                .zip(["train-im", "train-la", "t10k-im", "t10k-la"])
            {
                assert!(file.name.starts_with(start) && file.name.ends_with("-ubyte.gz"));
                assert_eq!(file.sha256.len(), 64);
                assert!(
                    file.sha256
                        .bytes()
                        .all(|digit| b"0123456789abcdef".contains(&digit))
                );
            }
        }
        assert!(Published::by_name("Fashion-MNIST").is_none());
        let url = CATALOG[1].url(&CATALOG[1].files[2]);
        assert_eq!(
            url,
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/t10k-images-idx3-ubyte.gz"
        );
    }

    /// The checksum of "abc" is one of FIPS 180-4's examples.
    #[test]
    fn a_file_is_what_was_published_or_the_error_says_what_it_is() {
        let file = PublishedFile {
            name: "abc",
            bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        let check = |bytes: &str| {
            fs::write(&path, bytes).unwrap();
            file.check(&path).map_err(|error| error.to_string())
        };
        assert_eq!(check("abc"), Ok(()));
        let shown = path.display();
        let advice = "this is not the file that was published; remove it";
        assert_eq!(
            check("abcd").unwrap_err(),
            format!("{shown}: 4 bytes, expected 3 bytes: {advice}")
        );
        let found = "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34";
        assert_eq!(
            check("def").unwrap_err(),
            format!(
                "{shown}: SHA-256 {found}, expected SHA-256 {}: {advice}",
                file.sha256
            )
        );
    }
}
