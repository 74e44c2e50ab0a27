//! What the rivals written in Rust share: arguments, pictures, the timing loop and the result line. `engines.py` does
//! the same for the rivals with a Python interface.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

/// How long a network runs before it is timed.
const WARM_UP: Duration = Duration::from_millis(300);

/// Arguments of every rival.
#[derive(Debug, Parser)]
pub struct Job {
    /// Quantized network
    #[arg(long)]
    pub model: PathBuf,
    /// Preprocessed pictures: little-endian f32, NCHW; the first is the one that is timed
    #[arg(long)]
    pub pictures: PathBuf,
    /// Height and width of a picture
    #[arg(long)]
    pub side: usize,
    /// Threads
    #[arg(long)]
    pub threads: usize,
    /// Least time that is spent on timed runs, in seconds
    #[arg(long)]
    pub seconds: f64,
    /// Where the logits of all pictures go, f32
    #[arg(long)]
    pub logits: Option<PathBuf>,
}

impl Job {
    /// Shape of a picture.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        [1, 3, self.side, self.side]
    }

    /// The pictures one after the other, so that they take no memory that counts.
    fn pictures(&self) -> Result<impl Iterator<Item = Result<Vec<f32>>>> {
        let mut file =
            File::open(&self.pictures).with_context(|| format!("cannot open {}", self.pictures.display()))?;
        let picture_bytes = self.shape().iter().product::<usize>() * size_of::<f32>();
        let count = file.metadata()?.len() / picture_bytes as u64;
        let value = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        Ok((0..count).map(move |_| {
            let mut bytes = vec![0; picture_bytes];
            file.read_exact(&mut bytes)?;
            Ok(bytes.chunks_exact(4).map(value).collect())
        }))
    }

    /// Times `run` on the first picture, prints the result line and writes the logits of all pictures if asked to.
    /// `started` is when loading began.
    ///
    /// # Errors
    /// A run fails, the pictures cannot be read, or the logits cannot be written.
    pub fn measure(&self, started: Instant, mut run: impl FnMut(&[f32]) -> Result<Vec<f32>>) -> Result<()> {
        let load = started.elapsed();
        let picture = self.pictures()?.next().context("there is no picture")??;
        let start = Instant::now();
        black_box(run(&picture)?);
        let first = start.elapsed();
        let mut times = self.times(|| run(&picture).map(|logits| drop(black_box(logits))))?;
        times.sort_by(f64::total_cmp);
        let result = serde_json::json!({
            "latency_ms_median": times[times.len() / 2],
            "latency_ms_min": times[0],
            "runs": times.len(),
            "load_ms": milliseconds(load),
            "first_ms": milliseconds(first),
        });
        println!("{result}");
        self.logits.as_deref().map_or(Ok(()), |path| self.write_logits(path, run))
    }

    /// Writes the logits of all pictures.
    fn write_logits(&self, path: &Path, mut run: impl FnMut(&[f32]) -> Result<Vec<f32>>) -> Result<()> {
        let mut bytes = Vec::new();
        for picture in self.pictures()? {
            bytes.extend(run(&picture?)?.iter().flat_map(|logit| logit.to_le_bytes()));
        }
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Milliseconds of every timed run.
    fn times(&self, mut run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
        let start = Instant::now();
        while start.elapsed() < WARM_UP {
            run()?;
        }
        let mut times = Vec::new();
        let start = Instant::now();
        while times.len() < 10 || start.elapsed().as_secs_f64() < self.seconds {
            let before = Instant::now();
            run()?;
            times.push(milliseconds(before.elapsed()));
        }
        Ok(times)
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
