//! The tensors of a package one by one: to look at, to compare, and to hand on.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::TensorFault;

/// A tensor in f32.
#[derive(Debug, Clone, PartialEq)]
struct Values {
    kind: &'static str,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// All tensors of a file of weights, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory(BTreeMap<String, Values>);

/// One tensor of an inventory.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// How its numbers are stored: `f16`, `f32`, ...
    pub kind: &'a str,
    /// The root of the sum of its squares.
    pub norm: f64,
    /// How many of its values are infinite or no numbers.
    pub not_finite: usize,
}

/// What differs between two inventories.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A tensor that only the first one has.
    Only(String),
    /// A tensor that only the second one has.
    OnlyOther(String),
    /// A tensor of another shape.
    Shape(String, Vec<usize>, Vec<usize>),
    /// A tensor of other values.
    Values {
        /// Its name.
        name: String,
        /// The largest difference of two values.
        furthest: f64,
        /// The norm of the difference, as a share of the first one's norm.
        share: f64,
    },
}

impl Inventory {
    /// Reads a safetensors file.
    pub(super) fn of(octets: &[u8]) -> Result<Self, TensorFault> {
        let tensors = candle_core::safetensors::load_buffer(octets, &Device::Cpu)?;
        let values = |(name, tensor): (String, candle_core::Tensor)| {
            let (kind, shape) = (tensor.dtype().as_str(), tensor.dims().to_vec());
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            Ok((name, Values { kind, shape, values }))
        };
        Ok(Self(tensors.into_iter().map(values).collect::<Result<_, TensorFault>>()?))
    }

    /// Its tensors, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = TensorFacts<'_>> {
        self.0.iter().map(|(name, Values { kind, shape, values })| TensorFacts {
            name,
            shape,
            kind,
            norm: norm(values.iter().copied()),
            not_finite: values.iter().filter(|value| !value.is_finite()).count(),
        })
    }

    /// What another one has otherwise, in the order of the names.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let change = |name: &String| match (self.0.get(name), other.0.get(name)) {
            (Some(own), Some(other)) if own.shape != other.shape => {
                Some(Change::Shape(name.clone(), own.shape.clone(), other.shape.clone()))
            }
            (Some(own), Some(other)) => {
                let differences = || own.values.iter().zip(&other.values).map(|(own, other)| own - other);
                let share = norm(differences()) / norm(own.values.iter().copied()).max(f64::MIN_POSITIVE);
                let furthest = differences().fold(0.0, |most: f64, difference| most.max(f64::from(difference.abs())));
                // What is no number is no equal either.
                (share != 0.0).then(|| Change::Values { name: name.clone(), furthest, share })
            }
            (Some(_), None) => Some(Change::Only(name.clone())),
            (None, _) => Some(Change::OnlyOther(name.clone())),
        };
        names.into_iter().filter_map(change).collect()
    }

    /// All of it as a safetensors file in f32.
    ///
    /// # Errors
    /// The tensors cannot be stored.
    pub fn safetensors(&self) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let views = self.0.iter().map(|(name, Values { shape, values, .. })| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values))?))
        });
        safetensors::serialize(views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?, None)
    }
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;

    fn file(tensors: &[(&str, &[f32])]) -> Vec<u8> {
        let values = |values: &[f32]| Values { kind: "f32", shape: vec![values.len()], values: values.to_vec() };
        Inventory(tensors.iter().map(|(name, of)| ((*name).to_owned(), values(of))).collect()).safetensors().unwrap()
    }

    #[test]
    fn facts_and_changes_are_told_by_tensor() {
        let own = Inventory::of(&file(&[("a", &[3.0, 4.0]), ("b", &[1.0]), ("c", &[f32::NAN, 1.0]), ("d", &[1.0])]));
        let own = own.unwrap();
        let facts: Vec<_> = own.tensors().collect();
        assert_eq!((facts[0].name, facts[0].shape, facts[0].kind, facts[0].norm), ("a", &[2][..], "f32", 5.0));
        assert_eq!((facts[0].not_finite, facts[2].not_finite), (0, 1));
        let other = file(&[("a", &[3.0, 3.0]), ("b", &[1.0, 2.0]), ("d", &[1.0]), ("e", &[1.0])]);
        assert_eq!(
            own.changes(&Inventory::of(&other).unwrap()),
            [
                Change::Values { name: "a".into(), furthest: 1.0, share: 0.2 },
                Change::Shape("b".into(), vec![1], vec![2]),
                Change::Only("c".into()),
                Change::OnlyOther("e".into()),
            ]
        );
    }

    #[test]
    fn half_precision_is_handed_on_in_f32() {
        let half = Tensor::new(&[0.5_f32, -2.0], &Device::Cpu).unwrap().to_dtype(DType::F16).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("half.safetensors");
        candle_core::safetensors::save(&[("x".to_owned(), half)].into(), &path).unwrap();
        let inventory = Inventory::of(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(inventory.tensors().next().unwrap().kind, "f16");
        let again = Inventory::of(&inventory.safetensors().unwrap()).unwrap();
        assert_eq!(again.tensors().next().unwrap().kind, "f32");
        assert_eq!(again.changes(&inventory), []);
    }
}
