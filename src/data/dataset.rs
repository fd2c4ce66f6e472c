//! A data set of labelled images in three splits.

use std::io;
use std::path::{Path, PathBuf};
#[cfg(feature = "mnist")]
use std::sync::OnceLock;

use super::class_names::{ClassNamesError, class_names};
use super::idx::read_image_size;
use super::{IdxError, Images, Published, Split, read_images, read_labels};

/// The article's number of validation images.
const MAX_VALIDATION: usize = 5_000;

/// Labelled grey images in the splits `train`, `validation` and `test`.
///
/// The first twelfth of the training images, at least 1 and at most 5,000, is the validation split
/// and the rest is trained on. For MNIST's 60,000 these are the article's 5,000 and 55,000.
#[derive(Debug)]
pub struct Dataset {
    name: String,
    height: usize,
    width: usize,
    class_names: Vec<String>,
    train: Split,
    validation: Split,
    test: Test,
}

/// The test split, which the embedded MNIST unpacks only when it is asked for.
#[derive(Debug)]
enum Test {
    Held(Split),
    #[cfg(feature = "mnist")]
    Embedded(OnceLock<Split>),
}

/// Why a data set cannot be trained with.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file that is not what it should be; the text names it.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// The names of the classes are none.
    #[error(transparent)]
    ClassNames(#[from] ClassNamesError),
    /// Files of a published data set are not there.
    #[error("{}: holds no {} of {title}", directory.display(), missing.join(", "))]
    NotThere {
        /// The directory.
        directory: PathBuf,
        /// The data set.
        title: &'static str,
        /// The files that were looked for.
        missing: Vec<&'static str>,
    },
    /// A file of a published data set is another one, or damaged.
    #[error("{}: {found}, expected {expected}: this is not the file that was published; remove it", path.display())]
    NotAsPublished {
        /// The file.
        path: PathBuf,
        /// Its size or checksum.
        found: String,
        /// Those of the file that was published.
        expected: String,
    },
    /// A published data set has another number of classes than names for them.
    #[error("{title}: labels of {found} classes, expected {expected}, one for each name")]
    ClassCount {
        /// The data set.
        title: &'static str,
        /// The largest label in training, plus 1.
        found: usize,
        /// Names.
        expected: usize,
    },
    /// One of the four files is not there.
    #[error("{}: holds no {name} (nor {name}.gz); a data set is four IDX files: {}", dir.display(), FILES.join(", "))]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The file that was looked for.
        name: &'static str,
    },
    /// Images and labels disagree in number.
    #[error("{}: {labels} labels, expected {images}, one for each image of {}", labels_path.display(), images_path.display())]
    Count {
        /// The file of images.
        images_path: PathBuf,
        /// Images in it.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// Labels in it.
        labels: usize,
    },
    /// The test images have another size than the training images.
    #[error("{}: images of {} × {} pixels, expected {} × {} as in training", path.display(), found.0, found.1, expected.0, expected.1)]
    ImageSize {
        /// The file of test images.
        path: PathBuf,
        /// Height and width in it.
        found: (usize, usize),
        /// Height and width of the training images.
        expected: (usize, usize),
    },
    /// Too few training images to keep one for validation.
    #[error("{name}: {found} training image(s), expected at least 2 (one for validation)")]
    TooFew {
        /// The data set.
        name: String,
        /// Training images.
        found: usize,
    },
    /// Every training image has the label 0, so there is nothing to tell apart.
    #[error(
        "{name}: every training image is labelled 0; expected at least 2 classes, labelled from 0"
    )]
    OneClass {
        /// The data set.
        name: String,
    },
    /// A test image has a label that no training image has.
    #[error(
        "{name}: test image {index} is labelled {label}, expected 0 to {largest} as in training"
    )]
    Label {
        /// The data set.
        name: String,
        /// Where the image is among the test images: the first is 0.
        index: usize,
        /// Its label.
        label: u8,
        /// The largest label in training.
        largest: u8,
    },
    /// The embedded MNIST cannot be unpacked: the program's file is damaged.
    #[error("MNIST (built in): {0}")]
    Embedded(io::Error),
}

/// Height and width of MNIST's images, also where they are not built in.
const MNIST_SIZE: (usize, usize) = (28, 28);

/// MNIST's names for its four files.
const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

impl Dataset {
    /// The embedded MNIST: 55,000 training, 5,000 validation and 10,000 test images of 28 × 28.
    ///
    /// # Errors
    /// [`DataError::Embedded`] if the program's copy of the data is damaged.
    #[cfg(feature = "mnist")]
    pub fn mnist() -> Result<Self, DataError> {
        let name = "MNIST (built in)".to_owned();
        let train = super::mnist::train().map_err(DataError::Embedded)?;
        let test = Test::Embedded(OnceLock::new());
        Self::from_splits(name, MNIST_SIZE, train, test, |classes| {
            Ok(super::class_numbers(classes))
        })
    }

    /// The data set of a directory: four IDX files with MNIST's names, each raw or compressed with
    /// gzip (`train-images-idx3-ubyte`, or `….gz`, or with `.idx3` for `-idx3`). Images may have
    /// any size, labels any number of classes up to 256, which [`class_names`] names.
    ///
    /// Every file is read at once, the test images too, so that nothing goes wrong with them after
    /// an hour of training.
    ///
    /// # Errors
    /// A file that is missing or damaged, files that disagree, or too little to train with: each
    /// error names the file, what was found and what was expected.
    pub fn open(dir: &Path) -> Result<Self, DataError> {
        let [train_images, train_labels, test_images, test_labels] =
            FILES.map(|name| find(dir, name));
        // All four are looked for before the first is read.
        let paths = [train_images?, train_labels?, test_images?, test_labels?];
        let name = dir.display().to_string();
        Self::read(name, &paths, |classes| Ok(class_names(dir, classes)?))
    }

    /// A published data set, the files of which lie in `directory` under the names that they were
    /// published with, compressed. Each is held against its checksum.
    ///
    /// # Errors
    /// [`DataError::NotThere`] where files are missing, [`DataError::NotAsPublished`] for one that
    /// is another or damaged, and as [`open`](Self::open).
    pub fn published(set: &Published, directory: &Path) -> Result<Self, DataError> {
        let paths = set.checked(directory)?;
        Self::read(set.title.to_owned(), &paths, |found| {
            let names = set.class_names;
            match names.len() == found {
                true => Ok(names.iter().map(|&name| name.to_owned()).collect()),
                false => Err(DataError::ClassCount {
                    title: set.title,
                    found,
                    expected: names.len(),
                }),
            }
        })
    }

    /// Height and width of the images in a directory of IDX files, or of MNIST's. Nothing but the
    /// first bytes of the training images is read.
    ///
    /// # Errors
    /// A file that is missing or is none of images.
    pub fn image_size(dir: Option<&Path>) -> Result<(usize, usize), DataError> {
        let Some(dir) = dir else {
            return Ok(MNIST_SIZE);
        };
        Ok(read_image_size(&find(dir, FILES[0])?)?)
    }

    /// Reads training images and labels, test images and labels.
    fn read(
        name: String,
        [train_images, train_labels, test_images, test_labels]: &[PathBuf; 4],
        class_names: impl FnOnce(usize) -> Result<Vec<String>, DataError>,
    ) -> Result<Self, DataError> {
        let (size, train) = read_split(train_images, train_labels)?;
        let (test_size, test) = read_split(test_images, test_labels)?;
        if test_size != size {
            return Err(DataError::ImageSize {
                path: test_images.clone(),
                found: test_size,
                expected: size,
            });
        }
        Self::from_splits(name, size, train, Test::Held(test), class_names)
    }

    /// Takes the validation split off the training images, counts the classes, has them named and
    /// checks that the whole can be trained with.
    fn from_splits(
        name: String,
        (height, width): (usize, usize),
        mut train: Split,
        test: Test,
        class_names: impl FnOnce(usize) -> Result<Vec<String>, DataError>,
    ) -> Result<Self, DataError> {
        if train.len() < 2 {
            return Err(DataError::TooFew {
                name,
                found: train.len(),
            });
        }
        let largest = train.labels().iter().copied().max().unwrap_or(0);
        if largest == 0 {
            return Err(DataError::OneClass { name });
        }
        let test_labels = match &test {
            Test::Held(split) => split.labels(),
            #[cfg(feature = "mnist")]
            Test::Embedded(_) => &[],
        };
        if let Some((index, &label)) =
            (test_labels.iter().enumerate()).find(|&(_, &label)| label > largest)
        {
            return Err(DataError::Label {
                name,
                index,
                label,
                largest,
            });
        }
        let validation = train.take_first((train.len() / 12).clamp(1, MAX_VALIDATION));
        Ok(Self {
            name,
            height,
            width,
            class_names: class_names(usize::from(largest) + 1)?,
            train,
            validation,
            test,
        })
    }

    /// What the data set calls itself: `MNIST (built in)`, the title of a published one, or its
    /// directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Rows of an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Different labels: the largest in training, plus 1.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The names of the classes, in the order of the labels: of those that have none, their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The images to train on.
    pub fn train(&self) -> &Split {
        &self.train
    }

    /// The images that recipes are chosen by.
    pub fn validation(&self) -> &Split {
        &self.validation
    }

    /// The number of test images, known without unpacking them.
    pub fn test_len(&self) -> usize {
        match &self.test {
            Test::Held(split) => split.len(),
            #[cfg(feature = "mnist")]
            Test::Embedded(_) => cnn_tb_mnist::TEST_IMAGES,
        }
    }

    /// The images to test with, unpacked on the first call.
    ///
    /// # Errors
    /// [`DataError::Embedded`] if the program's copy of MNIST is damaged.
    pub fn test(&self) -> Result<&Split, DataError> {
        match &self.test {
            Test::Held(split) => Ok(split),
            #[cfg(feature = "mnist")]
            Test::Embedded(cell) => match cell.get() {
                Some(split) => Ok(split),
                None => {
                    let split = super::mnist::test().map_err(DataError::Embedded)?;
                    Ok(cell.get_or_init(|| split))
                }
            },
        }
    }
}

/// The path of one of the four files, under any of the names in use.
fn find(dir: &Path, name: &'static str) -> Result<PathBuf, DataError> {
    let dotted = name.replace("-idx", ".idx");
    [
        name.to_owned(),
        format!("{name}.gz"),
        format!("{dotted}.gz"),
        dotted,
    ]
    .into_iter()
    .map(|name| dir.join(name))
    .find(|path| path.is_file())
    .ok_or_else(|| DataError::Missing {
        dir: dir.to_owned(),
        name,
    })
}

/// The images' height and width, and the images with their labels.
fn read_split(
    images_path: &Path,
    labels_path: &Path,
) -> Result<((usize, usize), Split), DataError> {
    let Images {
        height,
        width,
        pixels,
    } = read_images(images_path)?;
    let labels = read_labels(labels_path)?;
    let (images, label_count) = (pixels.len() / (height * width).max(1), labels.len());
    let split = Split::new(height, width, pixels, labels).ok_or_else(|| DataError::Count {
        images_path: images_path.to_owned(),
        images,
        labels_path: labels_path.to_owned(),
        labels: label_count,
    })?;
    Ok(((height, width), split))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::data::PublishedFile;
    use crate::data::catalog::hexadecimal;

    fn images_file(count: u32, height: u32, width: u32) -> Vec<u8> {
        let header = [0x0803, count, height, width]
            .map(u32::to_be_bytes)
            .concat();
        let pixels = (0..count * height * width).map(|pixel| (pixel / (height * width)) as u8);
        header.into_iter().chain(pixels).collect()
    }

    fn labels_file(labels: &[u8]) -> Vec<u8> {
        let header = [0x0801, labels.len() as u32].map(u32::to_be_bytes).concat();
        [&header, labels].concat()
    }

    /// 30 training and 4 test images of 3 × 2 pixels, of three classes.
    fn small() -> [Vec<u8>; 4] {
        let labels: Vec<u8> = (0..30).map(|image| image % 3).collect();
        let test_labels = labels_file(&[2, 1, 0, 2]);
        [
            images_file(30, 3, 2),
            labels_file(&labels),
            images_file(4, 3, 2),
            test_labels,
        ]
    }

    fn open(
        files: &[Vec<u8>; 4],
        names: [&str; 4],
    ) -> (tempfile::TempDir, Result<Dataset, DataError>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in names.iter().zip(files) {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let dataset = Dataset::open(dir.path());
        (dir, dataset)
    }

    #[test]
    fn opens_four_files_and_splits_them() {
        let dotted = FILES.map(|name| name.replace("-idx", ".idx"));
        for names in [FILES, [0, 1, 2, 3].map(|file| dotted[file].as_str())] {
            let (dir, dataset) = open(&small(), names);
            let dataset = dataset.unwrap();
            assert_eq!(dataset.name(), dir.path().display().to_string());
            assert_eq!(
                (dataset.height(), dataset.width(), dataset.classes()),
                (3, 2, 3)
            );
            assert_eq!(Dataset::image_size(Some(dir.path())).unwrap(), (3, 2));
            // A twelfth of 30, rounded down, from the front.
            assert_eq!(dataset.validation().labels(), [0, 1]);
            assert_eq!(dataset.validation().pixels(), [[0; 6], [1; 6]].concat());
            assert_eq!(
                (dataset.train().len(), dataset.train().labels()[0]),
                (28, 2)
            );
            assert_eq!(dataset.train().pixels()[..6], [2; 6]);
            assert_eq!(
                (dataset.test_len(), dataset.test().unwrap().labels()),
                (4, &[2, 1, 0, 2][..])
            );
        }
    }

    #[test]
    fn errors_name_the_file_what_was_found_and_expected() {
        let [train_images, train_labels, test_images, test_labels] = small();
        let files = |images: &[u8], labels: &[u8], test_images: &[u8], test_labels: &[u8]| {
            [images, labels, test_images, test_labels].map(<[u8]>::to_vec)
        };
        let cases = [
            (
                files(
                    &train_images,
                    &labels_file(&[0, 1]),
                    &test_images,
                    &test_labels,
                ),
                "DIR/train-labels-idx1-ubyte: 2 labels, expected 30, one for each image of DIR/train-images-idx3-ubyte",
            ),
            (
                files(
                    &train_images,
                    &train_labels,
                    &test_images,
                    &labels_file(&[0; 5]),
                ),
                "DIR/t10k-labels-idx1-ubyte: 5 labels, expected 4, one for each image of DIR/t10k-images-idx3-ubyte",
            ),
            (
                files(
                    &train_images,
                    &train_labels,
                    &images_file(4, 2, 3),
                    &test_labels,
                ),
                "DIR/t10k-images-idx3-ubyte: images of 2 × 3 pixels, expected 3 × 2 as in training",
            ),
            (
                files(
                    &train_images,
                    &train_labels,
                    &test_images,
                    &labels_file(&[0, 1, 9, 3]),
                ),
                "DIR: test image 2 is labelled 9, expected 0 to 2 as in training",
            ),
            (
                files(
                    &images_file(1, 3, 2),
                    &labels_file(&[1]),
                    &test_images,
                    &test_labels,
                ),
                "DIR: 1 training image(s), expected at least 2 (one for validation)",
            ),
            (
                files(
                    &images_file(3, 3, 2),
                    &labels_file(&[0; 3]),
                    &test_images,
                    &test_labels,
                ),
                "DIR: every training image is labelled 0; expected at least 2 classes, labelled from 0",
            ),
            (
                files(&train_labels, &train_images, &test_images, &test_labels),
                "DIR/train-images-idx3-ubyte: starts with 0x00000801, expected 0x00000803 \
                 (IDX images: unsigned bytes in three dimensions)",
            ),
        ];
        for (files, expected) in cases {
            let (dir, dataset) = open(&files, FILES);
            let error = dataset.unwrap_err().to_string();
            let error = error.replace(&dir.path().display().to_string(), "DIR");
            assert_eq!(error.replace('\\', "/"), expected);
        }
    }

    #[test]
    fn classes_have_the_names_of_the_file_beside_them() {
        let (dir, dataset) = open(&small(), FILES);
        assert_eq!(dataset.unwrap().class_names(), ["0", "1", "2"]);
        fs::write(dir.path().join("classes.txt"), "black\ngrey\nwhite\n").unwrap();
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(dataset.class_names(), ["black", "grey", "white"]);
        assert_eq!(dataset.classes(), 3);
        fs::write(dir.path().join("classes.txt"), "black\nwhite\n").unwrap();
        let error = Dataset::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("2 names, expected 3, one for each label from 0"),
            "{error}"
        );
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A published data set of these files, uncompressed here; and a directory that holds them.
    fn published(files: &[Vec<u8>; 4]) -> (tempfile::TempDir, Published) {
        let dir = tempfile::tempdir().unwrap();
        let names = FILES.map(|name| &*format!("{name}.gz").leak());
        let files = [0, 1, 2, 3].map(|index| {
            let compressed = gzip(&files[index]);
            fs::write(dir.path().join(names[index]), &compressed).unwrap();
            PublishedFile {
                name: names[index],
                bytes: compressed.len() as u64,
                sha256: hexadecimal(&Sha256::digest(&compressed)).leak(),
            }
        });
        let set = Published {
            name: "shades",
            title: "Shades",
            licence: "none",
            homepage: "",
            base_url: "https://localhost/",
            image_size: (3, 2),
            class_names: &["black", "grey", "white"],
            files,
        };
        (dir, set)
    }

    #[test]
    fn a_published_set_is_opened_by_its_files_and_no_others() {
        let (dir, set) = published(&small());
        let dataset = Dataset::published(&set, dir.path()).unwrap();
        assert_eq!((dataset.name(), dataset.train().len()), ("Shades", 28));
        assert_eq!(dataset.class_names(), set.class_names);

        let labels = dir.path().join(set.files[3].name);
        let whole = fs::read(&labels).unwrap();
        let mut damaged = whole.clone();
        damaged[20] ^= 1;
        for bytes in [&whole[1..], &damaged] {
            fs::write(&labels, bytes).unwrap();
            let error = Dataset::published(&set, dir.path()).unwrap_err();
            let is_named =
                matches!(&error, DataError::NotAsPublished { path, .. } if *path == labels);
            assert!(is_named, "{error}");
        }
        for name in [set.files[1].name, set.files[3].name] {
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        let error = Dataset::published(&set, dir.path())
            .unwrap_err()
            .to_string();
        let expected = "holds no train-labels-idx1-ubyte.gz, t10k-labels-idx1-ubyte.gz of Shades";
        assert_eq!(error, format!("{}: {expected}", dir.path().display()));
    }

    #[test]
    fn a_published_set_has_as_many_classes_as_names() {
        let (dir, mut set) = published(&small());
        set.class_names = &["black", "white"];
        let error = Dataset::published(&set, dir.path())
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "Shades: labels of 3 classes, expected 2, one for each name"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        for missing in FILES {
            let (dir, _) = open(&small(), FILES);
            fs::remove_file(dir.path().join(missing)).unwrap();
            let error = Dataset::open(dir.path()).unwrap_err().to_string();
            assert!(
                error.contains(&format!("holds no {missing} (nor {missing}.gz)")),
                "{error}"
            );
        }
        let error = Dataset::open(Path::new("/nonexistent/set")).unwrap_err();
        assert!(matches!(error, DataError::Missing { .. }), "{error}");
    }

    #[cfg(feature = "mnist")]
    #[test]
    fn mnist_has_the_articles_splits() {
        let mnist = Dataset::mnist().unwrap();
        assert_eq!((mnist.name(), mnist.classes()), ("MNIST (built in)", 10));
        assert_eq!((mnist.height(), mnist.width()), (28, 28));
        assert_eq!(
            (
                mnist.train().len(),
                mnist.validation().len(),
                mnist.test_len()
            ),
            (55_000, 5_000, 10_000)
        );
        assert_eq!(mnist.validation().labels()[..5], [5, 0, 4, 1, 9]);
        assert_eq!(mnist.test().unwrap().labels()[..5], [7, 2, 1, 0, 4]);
        assert_eq!(mnist.test().unwrap().len(), mnist.test_len());
    }
}
