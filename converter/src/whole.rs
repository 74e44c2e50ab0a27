//! Outputs of layers as a whole, also of those that run by rows.

use std::collections::BTreeMap;

use resi8::{Layer, Output};

/// Puts the rows of layers together.
#[derive(Debug, Default)]
pub struct WholeOutputs {
    /// Of layers whose last row is still to come.
    begun: BTreeMap<usize, Vec<i32>>,
}

impl WholeOutputs {
    /// Takes in what an observer is shown; all values of the layer's output when they are there, rows x columns x channels.
    pub fn add(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Option<Vec<i32>> {
        match output {
            Output::Activations(values) => Some(values.iter().map(|&q| q.into()).collect()),
            Output::Logits(values) => Some(values.to_vec()),
            Output::Row { row, rows, values } => {
                let begun = self.begun.entry(layer.index).or_default();
                if row == 0 {
                    begun.clear();
                }
                begun.extend(values.iter().map(|&q| i32::from(q)));
                if row + 1 == rows { self.begun.remove(&layer.index) } else { None }
            }
        }
    }
}
