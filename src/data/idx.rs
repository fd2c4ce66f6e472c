//! IDX files, raw or gzip-compressed: the format in which MNIST and its relatives are published.
//!
//! A file is a 4-byte magic number (0, 0, the type of an element, the number of dimensions), each
//! dimension's size as a big-endian `u32`, then the elements, the last dimension fastest
//! (<http://yann.lecun.com/exdb/mnist/>, "The IDX file format"). Images are unsigned bytes in
//! three dimensions, labels unsigned bytes in one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

/// Unsigned bytes in three dimensions.
const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0000_0801;
/// What a gzip file starts with (RFC 1952, section 2.3.1); an IDX file starts with zeros.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The most elements that are read from one file: a small compressed file can claim any size.
const MAX_ELEMENTS: u64 = u32::MAX as u64;

/// The images of an IDX file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
    /// One byte a pixel, row by row and image by image: count × height × width.
    pub pixels: Vec<u8>,
}

/// What is wrong with an IDX file. None of it goes away by trying again, but for
/// [`IdxError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The file cannot be opened, read or uncompressed.
    #[error("{}: cannot be read: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor said.
        cause: io::Error,
    },
    /// The file does not start as an IDX file of this kind does.
    #[error(
        "{}: starts with {}, expected {} (IDX {expected_kind})",
        path.display(), magic(*found), magic(*expected)
    )]
    Magic {
        /// The file.
        path: PathBuf,
        /// Its first four bytes, as a big-endian number.
        found: u32,
        /// The magic number that was expected.
        expected: u32,
        /// What the expected number stands for, as `images` or `labels`.
        expected_kind: &'static str,
    },
    /// The file ends before its header does.
    #[error("{}: ends within its header: {found} bytes, expected at least {expected}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Bytes in the (uncompressed) file.
        found: u64,
        /// Bytes of the header.
        expected: u64,
    },
    /// The sizes in the header cannot be those of a data set.
    #[error("{}: its header says {}, expected {expected}", path.display(), sizes(dimensions))]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// The size of each dimension, as the header has them.
        dimensions: Vec<u32>,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The file ends before the data that its header announces.
    #[error(
        "{}: cut short: its header says {}, which is {expected} bytes of data, but {found} follow",
        path.display(), sizes(dimensions)
    )]
    Cut {
        /// The file.
        path: PathBuf,
        /// The size of each dimension, as the header has them.
        dimensions: Vec<u32>,
        /// Bytes of data that the header announces.
        expected: u64,
        /// Bytes of data in the (uncompressed) file.
        found: u64,
    },
    /// The file goes on after the data that its header announces.
    #[error(
        "{}: its header says {}, which is {expected} bytes of data, but more follow",
        path.display(), sizes(dimensions)
    )]
    Trailing {
        /// The file.
        path: PathBuf,
        /// The size of each dimension, as the header has them.
        dimensions: Vec<u32>,
        /// Bytes of data that the header announces.
        expected: u64,
    },
}

/// `0x00000803`
fn magic(number: u32) -> String {
    format!("0x{number:08x}")
}

/// `60000 × 28 × 28`
fn sizes(dimensions: &[u32]) -> String {
    let sizes: Vec<String> = dimensions.iter().map(u32::to_string).collect();
    sizes.join(" × ")
}

/// Reads a file of images, compressed or not (which its first bytes tell, not its name).
///
/// # Errors
/// An [`IdxError`] for a file that cannot be read or is not exactly what its header says.
pub fn read_images(path: &Path) -> Result<Images, IdxError> {
    let (dimensions, pixels) = read(path, open(path)?, Kind::Images)?;
    let size = |dimension: usize| dimensions.get(dimension).map_or(0, |&size| size as usize);
    Ok(Images {
        height: size(1),
        width: size(2),
        pixels,
    })
}

/// Reads a file of labels, compressed or not (which its first bytes tell, not its name).
///
/// # Errors
/// An [`IdxError`] for a file that cannot be read or is not exactly what its header says.
pub fn read_labels(path: &Path) -> Result<Vec<u8>, IdxError> {
    Ok(read(path, open(path)?, Kind::Labels)?.1)
}

/// Reads how many rows and columns each image of a file has, and nothing more.
///
/// # Errors
/// An [`IdxError`] for a file that cannot be read or is none of images.
pub(super) fn read_image_size(path: &Path) -> Result<(usize, usize), IdxError> {
    let (dimensions, _) = read_header(path, &mut open(path)?, Kind::Images)?;
    let size = |dimension: usize| dimensions.get(dimension).map_or(0, |&size| size as usize);
    Ok((size(1), size(2)))
}

#[derive(Clone, Copy)]
enum Kind {
    Images,
    Labels,
}

impl Kind {
    fn magic(self) -> u32 {
        match self {
            Kind::Images => IMAGES_MAGIC,
            Kind::Labels => LABELS_MAGIC,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Images => "images: unsigned bytes in three dimensions",
            Kind::Labels => "labels: unsigned bytes in one dimension",
        }
    }

    fn dimensions(self) -> usize {
        match self {
            Kind::Images => 3,
            Kind::Labels => 1,
        }
    }
}

/// The uncompressed bytes of the file.
fn open(path: &Path) -> Result<Box<dyn Read>, IdxError> {
    let io_error = |cause| IdxError::Io {
        path: path.to_owned(),
        cause,
    };
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(io_error)?);
    let compressed = file.fill_buf().map_err(io_error)?.starts_with(&GZIP_MAGIC);
    Ok(if compressed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

/// Reads the header: the size of each dimension, and how many bytes of data that makes.
fn read_header(path: &Path, file: &mut impl Read, kind: Kind) -> Result<(Vec<u32>, u64), IdxError> {
    let path = || path.to_owned();
    let io_error = |cause| IdxError::Io {
        path: path(),
        cause,
    };

    let header_len = 4 + 4 * kind.dimensions() as u64;
    let (header, _) = read_up_to(file, header_len).map_err(io_error)?;
    let words: Vec<u32> = header
        .chunks_exact(4)
        .map(|word| word.iter().fold(0, |n, &b| n << 8 | u32::from(b)))
        .collect();
    match words.first() {
        Some(&found) if found != kind.magic() => {
            let (expected, expected_kind) = (kind.magic(), kind.name());
            return Err(IdxError::Magic {
                path: path(),
                found,
                expected,
                expected_kind,
            });
        }
        Some(_) if header.len() as u64 == header_len => {}
        _ => {
            let found = header.len() as u64;
            return Err(IdxError::Header {
                path: path(),
                found,
                expected: header_len,
            });
        }
    }
    let dimensions = words[1..].to_vec();

    let expected = elements(&dimensions).map_err(|expected| {
        let dimensions = dimensions.clone();
        IdxError::Dimensions {
            path: path(),
            dimensions,
            expected,
        }
    })?;
    Ok((dimensions, expected))
}

/// Reads the header and exactly the data that it announces.
fn read(path: &Path, mut file: impl Read, kind: Kind) -> Result<(Vec<u32>, Vec<u8>), IdxError> {
    let (dimensions, expected) = read_header(path, &mut file, kind)?;
    let path = || path.to_owned();
    let io_error = |cause| IdxError::Io {
        path: path(),
        cause,
    };
    let (data, cut) = read_up_to(&mut file, expected + 1).map_err(io_error)?;
    let found = data.len() as u64;
    if found < expected {
        return Err(IdxError::Cut {
            path: path(),
            dimensions,
            expected,
            found,
        });
    }
    if found > expected {
        return Err(IdxError::Trailing {
            path: path(),
            dimensions,
            expected,
        });
    }
    match cut {
        None => Ok((dimensions, data)),
        // All data is there, but not the checksum behind it.
        Some(cut) => Err(io_error(cut)),
    }
}

/// The number of elements, or what would be accepted.
fn elements(dimensions: &[u32]) -> Result<u64, &'static str> {
    if dimensions.contains(&0) {
        return Err("no size of 0");
    }
    dimensions
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)))
        .filter(|&elements| elements <= MAX_ELEMENTS)
        .ok_or("at most 4,294,967,295 bytes of data")
}

/// The next `limit` bytes, fewer at the end of the file. Memory grows with what arrives, whatever
/// the limit. Where a compressed file is cut, what came before and the decompressor's complaint.
fn read_up_to(file: impl Read, limit: u64) -> io::Result<(Vec<u8>, Option<io::Error>)> {
    let mut bytes = Vec::new();
    match file.take(limit).read_to_end(&mut bytes) {
        Ok(_) => Ok((bytes, None)),
        Err(cut) if cut.kind() == ErrorKind::UnexpectedEof => Ok((bytes, Some(cut))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn idx(magic: u32, sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let header = [&[magic], sizes].concat();
        [
            &header
                .iter()
                .flat_map(|word| word.to_be_bytes())
                .collect::<Vec<u8>>(),
            data,
        ]
        .concat()
    }

    /// Writes `bytes` to a file named `images` and reads them as images; the path is cut off the
    /// error's text.
    fn images(bytes: &[u8]) -> Result<Images, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images");
        fs::write(&path, bytes).unwrap();
        let prefix = format!("{}: ", path.display());
        read_images(&path)
            .map_err(|error| error.to_string().strip_prefix(&prefix).unwrap().to_owned())
    }

    #[test]
    fn reads_raw_and_compressed() {
        let bytes = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let expected = Images {
            height: 1,
            width: 3,
            pixels: vec![1, 2, 3, 4, 5, 6],
        };
        assert_eq!(images(&bytes), Ok(expected.clone()));
        assert_eq!(images(&gzip(&bytes)), Ok(expected.clone()));
        // A gzip file may have several members.
        let members = [gzip(&bytes[..7]), gzip(&bytes[7..])].concat();
        assert_eq!(images(&members), Ok(expected));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels");
        fs::write(&path, idx(LABELS_MAGIC, &[3], &[7, 0, 255])).unwrap();
        assert_eq!(read_labels(&path).unwrap(), [7, 0, 255]);
    }

    #[test]
    fn errors_say_what_was_found_and_expected() {
        let data = [9; 12];
        let cases: &[(Vec<u8>, &str)] = &[
            (
                idx(LABELS_MAGIC, &[12], &data),
                "starts with 0x00000801, expected 0x00000803 (IDX images: unsigned bytes in three dimensions)",
            ),
            (
                b"PNG and more".to_vec(),
                "starts with 0x504e4720, expected 0x00000803 (IDX images: unsigned bytes in three dimensions)",
            ),
            (
                Vec::new(),
                "ends within its header: 0 bytes, expected at least 16",
            ),
            (
                idx(IMAGES_MAGIC, &[3], &[0, 0]),
                "ends within its header: 10 bytes, expected at least 16",
            ),
            (
                idx(IMAGES_MAGIC, &[3, 2, 2], &data[..11]),
                "cut short: its header says 3 × 2 × 2, which is 12 bytes of data, but 11 follow",
            ),
            (
                idx(IMAGES_MAGIC, &[3, 2, 2], &[9; 13]),
                "its header says 3 × 2 × 2, which is 12 bytes of data, but more follow",
            ),
            (
                idx(IMAGES_MAGIC, &[u32::MAX, 1, 1], &data),
                "cut short: its header says 4294967295 × 1 × 1, which is 4294967295 bytes of data, but 12 follow",
            ),
            (
                idx(IMAGES_MAGIC, &[u32::MAX, u32::MAX, u32::MAX], &data),
                "its header says 4294967295 × 4294967295 × 4294967295, expected at most 4,294,967,295 bytes of data",
            ),
            (
                idx(IMAGES_MAGIC, &[3, 0, 2], &[]),
                "its header says 3 × 0 × 2, expected no size of 0",
            ),
            (
                idx(IMAGES_MAGIC, &[0, 2, 2], &[]),
                "its header says 0 × 2 × 2, expected no size of 0",
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(images(bytes).unwrap_err(), *expected);
            assert_eq!(images(&gzip(bytes)).unwrap_err(), *expected, "compressed");
        }
    }

    #[test]
    fn cut_and_damaged_compressed_files() {
        let bytes = idx(
            IMAGES_MAGIC,
            &[3, 2, 2],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        );
        let compressed = gzip(&bytes);
        for len in 2..compressed.len() {
            assert!(
                images(&compressed[..len]).is_err(),
                "{len} of {}",
                compressed.len()
            );
        }
        let mut damaged = compressed.clone();
        let checksum = damaged.len() - 8;
        damaged[checksum] ^= 1;
        assert!(
            images(&damaged)
                .unwrap_err()
                .starts_with("cannot be read: ")
        );
    }

    #[test]
    fn a_missing_file_and_a_directory_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("none"), dir.path().to_owned()] {
            let error = read_labels(&path).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{}: cannot be read: ", path.display())),
                "{error}"
            );
        }
    }
}
