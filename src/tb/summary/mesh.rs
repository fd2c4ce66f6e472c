//! Meshes and point clouds in space.

use prost::Message as _;

use crate::tb::proto::mesh_plugin_data::ContentType;
use crate::tb::proto::summary::Value;
use crate::tb::proto::{DataClass, DataType, MeshPluginData, TensorProto};
use crate::tb::summary::{Misfit, shape, tensor_value};

pub(super) const PLUGIN: &str = "mesh";

/// Points in space, with triangles between them and colours where these are given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mesh<'a> {
    /// The points: x, y, z.
    pub vertices: &'a [[f32; 3]],
    /// Triangles: the indices of their corners. Without any, a cloud of points is drawn.
    pub faces: &'a [[u32; 3]],
    /// The colour of each point: red, green, blue; empty for none.
    pub colors: &'a [[u8; 3]],
}

impl Mesh<'_> {
    /// Up to three values, of the tags `tag_VERTEX`, `tag_FACE` and `tag_COLOR`: tensors of shape
    /// (1, count, 3). Source: `metadata.py` in
    /// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/plugins/mesh>.
    ///
    /// # Errors
    /// No points, a point that is not finite, a corner that is no point, colours that are not as
    /// many as the points, more than 2^31 of anything.
    pub fn to_values(&self, tag: &str) -> Result<Vec<Value>, Misfit> {
        self.check()?;
        let mut parts = vec![(ContentType::Vertex, self.vertex_tensor())];
        if !self.faces.is_empty() {
            parts.push((ContentType::Face, self.face_tensor()));
        }
        if !self.colors.is_empty() {
            parts.push((ContentType::Color, self.color_tensor()));
        }
        let components = parts.iter().map(|(part, _)| 1 << i32::from(*part)).sum();
        let values = parts.into_iter().map(|(part, (count, tensor))| {
            let content = MeshPluginData {
                version: 0,
                name: tag.to_owned(),
                content_type: part.into(),
                json_config: "{}".to_owned(),
                // `check` has seen to it that the count fits.
                shape: vec![1, count as i32, 3],
                components,
            };
            let tag = format!("{tag}_{}", part.as_str_name());
            let content = content.encode_to_vec();
            let tensor = TensorProto {
                tensor_shape: Some(shape([1, count, 3])),
                ..tensor
            };
            tensor_value(&tag, PLUGIN, content, DataClass::Tensor, tensor)
        });
        Ok(values.collect())
    }

    fn check(&self) -> Result<(), Misfit> {
        let (vertices, colors) = (self.vertices.len(), self.colors.len());
        let counts = [vertices, self.faces.len(), colors];
        if vertices == 0 || counts.iter().any(|&count| i32::try_from(count).is_err()) {
            let [vertices, faces, colors] = counts;
            let found = format!("{vertices} vertices, {faces} faces, {colors} colours");
            return Err(Misfit::new(
                found,
                "at least one vertex, and less than 2^31 of each",
            ));
        }
        if colors != 0 && colors != vertices {
            let found = format!("{colors} colours for {vertices} vertices");
            return Err(Misfit::new(found, "a colour for each vertex, or none"));
        }
        let is_bad = |point: &[f32; 3]| point.iter().any(|x| !x.is_finite());
        if let Some(index) = self.vertices.iter().position(is_bad) {
            let found = format!("the vertex {:?} at index {index}", self.vertices[index]);
            return Err(Misfit::new(found, "finite coordinates"));
        }
        let is_off = |face: &[u32; 3]| face.iter().any(|&corner| corner as usize >= vertices);
        if let Some(index) = self.faces.iter().position(is_off) {
            let found = format!("the face {:?} at index {index}", self.faces[index]);
            let expected = format!("corners from 0 to {}", vertices - 1);
            return Err(Misfit::new(found, expected));
        }
        Ok(())
    }

    fn vertex_tensor(&self) -> (usize, TensorProto) {
        let tensor = TensorProto {
            dtype: DataType::DtFloat.into(),
            float_val: self.vertices.as_flattened().to_vec(),
            ..TensorProto::default()
        };
        (self.vertices.len(), tensor)
    }

    fn face_tensor(&self) -> (usize, TensorProto) {
        let corners = self.faces.as_flattened().iter();
        let tensor = TensorProto {
            dtype: DataType::DtInt32.into(),
            int_val: corners.map(|&corner| corner as i32).collect(),
            ..TensorProto::default()
        };
        (self.faces.len(), tensor)
    }

    fn color_tensor(&self) -> (usize, TensorProto) {
        let tensor = TensorProto {
            dtype: DataType::DtUint8.into(),
            tensor_content: self.colors.as_flattened().to_vec(),
            ..TensorProto::default()
        };
        (self.colors.len(), tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_name_each_other() {
        let mesh = Mesh {
            vertices: &[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.5]],
            faces: &[[0, 1, 2]],
            ..Mesh::default()
        };
        let values = mesh.to_values("shape").unwrap();
        let tags: Vec<_> = values.iter().map(|value| value.tag.as_str()).collect();
        assert_eq!(tags, ["shape_VERTEX", "shape_FACE"]);
        for value in values {
            let plugin = value.metadata.unwrap().plugin_data.unwrap();
            let content = MeshPluginData::decode(&plugin.content[..]).unwrap();
            assert_eq!(
                (content.name.as_str(), content.components),
                ("shape", 0b110)
            );
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let vertices = &[[0.0; 3], [1.0; 3]][..];
        let found = |mesh: Mesh| mesh.to_values("x").unwrap_err().to_string();
        assert!(found(Mesh::default()).starts_with("0 vertices"));
        let mesh = Mesh {
            vertices,
            ..Mesh::default()
        };
        let colors = &[[0; 3]][..];
        assert!(found(Mesh { colors, ..mesh }).starts_with("1 colours for 2 vertices"));
        let faces = &[[0, 1, 2]][..];
        assert!(found(Mesh { faces, ..mesh }).ends_with("corners from 0 to 1"));
        let vertices = &[[0.0, f32::NAN, 0.0]][..];
        assert!(found(Mesh { vertices, ..mesh }).contains("at index 0"));
    }
}
