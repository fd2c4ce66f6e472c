//! Sound: clips that the browser plays.

use prost::Message as _;

use crate::tb::proto::audio_plugin_data::Encoding;
use crate::tb::proto::summary::{Value, value};
use crate::tb::proto::{AudioPluginData, DataClass, DataType, TensorProto};
use crate::tb::summary::{Misfit, shape, tensor_value};

pub(super) const PLUGIN: &str = "audio";
/// The largest sample.
const MAX_SAMPLE: f32 = 32_767.0;

/// A clip of sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip<'a> {
    /// Samples from -1 to 1, what lies beyond being cut; with two channels left and right in turn.
    pub samples: &'a [f32],
    /// 1 for mono, 2 for stereo.
    pub channels: u16,
    /// Samples a second in each channel, such as 44,100.
    pub sample_rate: u32,
}

impl Clip<'_> {
    /// The clip as a WAV file of 16-bit samples. Source of the format: "Multimedia Programming
    /// Interface and Data Specifications 1.0" by IBM and Microsoft, chapter 3.
    ///
    /// # Errors
    /// No samples, samples that are no whole frames, a sample that is NaN, other than one or two
    /// channels, a rate of 0 or one that gives 4 GiB a second, a clip beyond 4 GiB.
    pub fn to_wav(&self) -> Result<Vec<u8>, Misfit> {
        let block_bytes = match self.channels {
            1 | 2 => 2 * self.channels,
            other => return Err(Misfit::new(format!("{other} channels"), "1 or 2")),
        };
        if self.samples.is_empty() || !self.samples.len().is_multiple_of(self.channels.into()) {
            let found = format!(
                "{} samples for {} channels",
                self.samples.len(),
                self.channels
            );
            return Err(Misfit::new(
                found,
                "as many for each channel, and at least one",
            ));
        }
        if let Some(index) = self.samples.iter().position(|sample| sample.is_nan()) {
            let found = format!("NaN at index {index}");
            return Err(Misfit::new(found, "samples from -1 to 1"));
        }
        let bytes_per_sec = self.sample_rate.checked_mul(block_bytes.into());
        let Some(bytes_per_sec) = bytes_per_sec.filter(|&bytes| bytes > 0) else {
            let found = format!("a sample rate of {}", self.sample_rate);
            return Err(Misfit::new(
                found,
                "one above 0 whose bytes a second fit in 32 bits",
            ));
        };
        let data_bytes = self.samples.len().checked_mul(2);
        let data_bytes = data_bytes.and_then(|bytes| u32::try_from(bytes).ok());
        let Some(data_bytes) = data_bytes.filter(|&bytes| bytes <= u32::MAX - 36) else {
            let found = format!("{} samples", self.samples.len());
            return Err(Misfit::new(found, "a clip of less than 4 GiB"));
        };
        let mut wav = Vec::with_capacity(44 + data_bytes as usize);
        wav.extend_from_slice(b"RIFF");
        wav.extend_from_slice(&(36 + data_bytes).to_le_bytes());
        wav.extend_from_slice(b"WAVEfmt ");
        wav.extend_from_slice(&16_u32.to_le_bytes());
        // Format 1: linear samples.
        wav.extend_from_slice(&1_u16.to_le_bytes());
        wav.extend_from_slice(&self.channels.to_le_bytes());
        wav.extend_from_slice(&self.sample_rate.to_le_bytes());
        wav.extend_from_slice(&bytes_per_sec.to_le_bytes());
        wav.extend_from_slice(&block_bytes.to_le_bytes());
        wav.extend_from_slice(&16_u16.to_le_bytes());
        wav.extend_from_slice(b"data");
        wav.extend_from_slice(&data_bytes.to_le_bytes());
        for sample in self.samples {
            let sample = (sample.clamp(-1.0, 1.0) * MAX_SAMPLE).round() as i16;
            wav.extend_from_slice(&sample.to_le_bytes());
        }
        Ok(wav)
    }

    /// A string tensor with one clip.
    ///
    /// # Errors
    /// Those of [`to_wav`](Self::to_wav).
    pub fn to_value(&self, tag: &str) -> Result<Value, Misfit> {
        let tensor = TensorProto {
            dtype: DataType::DtString.into(),
            tensor_shape: Some(shape([1])),
            string_val: vec![self.to_wav()?],
            ..TensorProto::default()
        };
        let content = AudioPluginData {
            encoding: Encoding::Wav.into(),
            ..AudioPluginData::default()
        };
        let content = content.encode_to_vec();
        Ok(tensor_value(
            tag,
            PLUGIN,
            content,
            DataClass::BlobSequence,
            tensor,
        ))
    }
}

/// The encoded clips in a value of either form; `None` where there are none. Of a table of clips and
/// labels the labels are left out.
pub(crate) fn from_value(value: Value) -> Option<Vec<Vec<u8>>> {
    match value.value? {
        value::Value::Audio(audio) => Some(vec![audio.encoded_audio_string]),
        value::Value::Tensor(tensor) if tensor.dtype == i32::from(DataType::DtString) => {
            let is_table = tensor
                .tensor_shape
                .is_some_and(|shape| shape.dim.len() == 2);
            let every = if is_table { 2 } else { 1 };
            Some(tensor.string_val.into_iter().step_by(every).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIP: Clip = Clip {
        samples: &[0.0, 1.0, -1.0, 2.0, f32::NEG_INFINITY, 0.5],
        channels: 2,
        sample_rate: 8000,
    };

    #[test]
    fn a_clip_is_a_wav_file() {
        let wav = CLIP.to_wav().unwrap();
        assert_eq!(&wav[..4], b"RIFF");
        assert_eq!(wav[4..8], 48_u32.to_le_bytes());
        assert_eq!(wav[24..28], 8000_u32.to_le_bytes());
        assert_eq!(wav[28..32], 32_000_u32.to_le_bytes());
        assert_eq!(wav[40..44], 12_u32.to_le_bytes());
        let samples: Vec<_> = wav[44..]
            .chunks(2)
            .map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]))
            .collect();
        assert_eq!(samples, [0, 32767, -32767, 32767, -32767, 16384]);
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        let found = |clip: Clip| clip.to_value("x").unwrap_err().found;
        let samples = &[0.0, f32::NAN, 0.0][..];
        assert_eq!(
            found(Clip {
                channels: 3,
                ..CLIP
            }),
            "3 channels"
        );
        assert_eq!(found(Clip { samples, ..CLIP }), "3 samples for 2 channels");
        assert_eq!(
            found(Clip {
                samples: &[],
                ..CLIP
            }),
            "0 samples for 2 channels"
        );
        let mono = Clip {
            samples,
            channels: 1,
            ..CLIP
        };
        assert_eq!(found(mono), "NaN at index 1");
        for sample_rate in [0, u32::MAX] {
            let clip = Clip {
                sample_rate,
                ..CLIP
            };
            assert_eq!(found(clip), format!("a sample rate of {sample_rate}"));
        }
    }
}
