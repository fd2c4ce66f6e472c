//! What is heard, and what is turned around: sound and meshes.

use crate::tb::summary::audio::Clip;
use crate::tb::summary::mesh::Mesh;
use crate::tb::writer::{Step, SummaryWriter, WriteError};

impl SummaryWriter {
    /// Logs a clip of sound, which the Audio page plays: a WAV file with 16 bits a sample.
    ///
    /// ```
    /// use cnn_tb::tb::Clip;
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
    /// let samples: Vec<f32> = (0..4410).map(|index| (index as f32 * 0.0627).sin()).collect();
    /// let clip = Clip { samples: &samples, channels: 1, sample_rate: 44_100 };
    /// writer.add_audio("tone", &clip, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] as [`Clip::to_wav`], and see [`SummaryWriter`].
    pub fn add_audio(&self, tag: &str, clip: &Clip<'_>, step: impl Step) -> Result<(), WriteError> {
        let value = clip.to_value(tag).map_err(WriteError::value(tag))?;
        self.add_values(vec![value], step)
    }

    /// Logs points in space, with triangles and colours where they are given; the Mesh page shows
    /// them.
    ///
    /// ```
    /// use cnn_tb::tb::Mesh;
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
    /// let mesh = Mesh {
    ///     vertices: &[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    ///     faces: &[[0, 1, 2]],
    ///     colors: &[[255, 0, 0], [0, 255, 0], [0, 0, 255]],
    /// };
    /// writer.add_mesh("triangle", &mesh, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] as [`Mesh::to_values`], and see [`SummaryWriter`].
    pub fn add_mesh(&self, tag: &str, mesh: &Mesh<'_>, step: impl Step) -> Result<(), WriteError> {
        let values = mesh.to_values(tag).map_err(WriteError::value(tag))?;
        self.add_values(values, step)
    }
}
