//! rten, on a dynamically quantized network: its documented form, and its faster one.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use resi8_rivals::Job;
use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::NdTensorView;
use rten_tensor::prelude::*;

fn main() -> Result<()> {
    let job = Job::parse();
    let started = Instant::now();
    let model = Model::load_file(&job.model)?;
    let options =
        RunOptions::default().with_thread_pool(Some(Arc::new(ThreadPool::with_num_threads(job.threads))));
    let shape = job.shape();
    job.measure(started, |picture| {
        let picture = NdTensorView::<f32, 4>::from_data(shape, picture);
        let logits = model.run_one(picture.into(), Some(options.clone()))?;
        let logits = logits.into_tensor::<f32>().context("the logits are no f32")?;
        Ok(logits.to_vec())
    })
}
