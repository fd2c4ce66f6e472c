//! What lies behind the lengths and checksums of a file: split apart, and joined again with lengths and
//! checksums that are right. Damage in between goes deeper than damage to the file.

use std::io::{Read as _, Write as _};

use cnn_tb::tb::record::{RecordReader, append_record};
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// A kind of file with lengths or checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Nothing stands before its content.
    Plain,
    /// Records: their payloads.
    Records,
    /// gzip (RFC 1952): all members as one.
    Gzip,
    /// Several files, each with its length before it: 4 bytes, little-endian.
    Bundle,
    /// PNG: its chunks, each its type and its data.
    Png,
    /// safetensors: its header and its data.
    Safetensors,
    /// safetensors in a checkpoint (`docs/checkpoint.md`): the same.
    Checkpoint,
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const CHECKPOINT_MAGIC: &[u8] = b"cnn-tb\0\x01";

impl Format {
    /// The parts of a file, as far as they can be told apart; none where it is not of this format.
    pub fn split(self, bytes: &[u8]) -> Vec<Vec<u8>> {
        match self {
            Self::Plain => Vec::new(),
            Self::Records => payloads(bytes),
            Self::Gzip => unzipped(bytes).into_iter().collect(),
            Self::Bundle => unbundled(bytes).into_iter().map(<[u8]>::to_vec).collect(),
            Self::Png => chunks(bytes),
            Self::Safetensors => header_and_data(bytes).unwrap_or_default(),
            Self::Checkpoint => {
                let tensors = bytes.strip_prefix(CHECKPOINT_MAGIC);
                let tensors = tensors.and_then(|tensors| tensors.split_last_chunk::<4>());
                tensors
                    .and_then(|(tensors, _)| header_and_data(tensors))
                    .unwrap_or_default()
            }
        }
    }

    /// A file of these parts.
    pub fn join(self, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        match self {
            Self::Plain => file.extend(parts.concat()),
            Self::Records => parts
                .iter()
                .for_each(|payload| append_record(&mut file, payload)),
            Self::Gzip => file.extend(zipped(&parts.concat())),
            Self::Bundle => {
                for part in parts {
                    file.extend((part.len() as u32).to_le_bytes());
                    file.extend(part);
                }
            }
            Self::Png => {
                file.extend(PNG_SIGNATURE);
                for chunk in parts {
                    file.extend((chunk.len().saturating_sub(4) as u32).to_be_bytes());
                    file.extend(chunk);
                    file.extend(crc32fast::hash(chunk).to_be_bytes());
                }
            }
            Self::Safetensors => file.extend(with_header(parts)),
            Self::Checkpoint => {
                file.extend(CHECKPOINT_MAGIC);
                file.extend(with_header(parts));
                file.extend(crc32fast::hash(&file).to_le_bytes());
            }
        }
        file
    }
}

/// Those before the first error.
fn payloads(file: &[u8]) -> Vec<Vec<u8>> {
    let mut records = RecordReader::new(file);
    let mut payloads = Vec::new();
    while let Ok(Some(payload)) = records.read() {
        payloads.push(payload.to_vec());
    }
    payloads
}

fn unzipped(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    // A fuzzer may come across a bomb.
    let mut decoder = MultiGzDecoder::new(bytes).take(1 << 20);
    decoder.read_to_end(&mut content).ok().map(|_| content)
}

pub fn zipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The files of a bundle; the last one ends where the bundle does.
pub fn unbundled(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut files = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let (file, rest) = rest.split_at(length.min(rest.len()));
        files.push(file);
        bytes = rest;
    }
    files
}

fn chunks(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut rest = bytes.strip_prefix(PNG_SIGNATURE).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        // Its type comes before its data, a checksum behind.
        let Some((chunk, after)) = after.split_at_checked(length.saturating_add(4)) else {
            break;
        };
        chunks.push(chunk.to_vec());
        rest = after.get(4..).unwrap_or_default();
    }
    chunks
}

fn header_and_data(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (header, data) = rest.split_at_checked(length)?;
    Some(vec![header.to_vec(), data.to_vec()])
}

/// The first part is the header.
fn with_header(parts: &[Vec<u8>]) -> Vec<u8> {
    let length = parts.first().map_or(0, Vec::len) as u64;
    [&length.to_le_bytes()[..], &parts.concat()].concat()
}
