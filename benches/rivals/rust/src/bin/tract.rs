//! tract, on the QDQ network that ONNX Runtime's quantizer made.

use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use resi8_rivals::Job;
use tract_onnx::prelude::*;

fn main() -> Result<()> {
    let job = Job::parse();
    let started = Instant::now();
    if job.threads > 1 {
        multithread::set_default_executor(multithread::Executor::multithread(job.threads));
    }
    let plan = tract_onnx::onnx()
        .model_for_path(&job.model)?
        .with_input_fact(0, f32::fact(job.shape()).into())?
        .into_optimized()?
        .into_runnable()?;
    let shape = job.shape();
    job.measure(started, |picture| {
        let outputs = plan.run(tvec!(Tensor::from_shape(&shape, picture)?.into()))?;
        Ok(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    })
}
