//! `stream`: raw frames in, one line per frame out.

use std::fmt::Write;
use std::io::IsTerminal;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use resi8::Session;
use resi8_picture::{RgbPicture, from_decoded};
use serde::Serialize;

use crate::bench::milliseconds;
use crate::file::{self, Memory, ModelArgs, ThreadArgs};
use crate::frames::{Counts, End, Frame, FrameSize, Frames, Wanted};
use crate::output;
use crate::run::{Guess, classify};

/// The end of `stream --help`.
pub const EXAMPLES: &str = "\
Examples:
  A USB camera, the newest frame whenever the model is ready:
    ffmpeg -v error -f v4l2 -video_size 640x480 -i /dev/video0 -f rawvideo -pix_fmt rgb24 - |
      resi8-run stream model.r8 --size 640x480 --latest
  A Raspberry Pi camera, with two CPUs left to camera and ffmpeg:
    rpicam-vid -t 0 -n --width 640 --height 480 --codec yuv420 -o - |
      ffmpeg -v error -f rawvideo -pix_fmt yuv420p -s 640x480 -i - -f rawvideo -pix_fmt rgb24 - |
      resi8-run stream model.r8 --size 640x480 --latest --cpu-list 2-3
  Every tenth frame of a film, for a script:
    ffmpeg -v error -i film.mp4 -vf scale=640:480 -f rawvideo -pix_fmt rgb24 - |
      resi8-run stream model.r8 --size 640x480 --every 10 --json

A frame is width * height * 3 bytes: red, green, blue, row by row. It is resized and cropped as a picture would be.
At the end, and at Ctrl-C or SIGTERM after the frame in work, a summary goes to standard error; with --json it is the \
last line of the output, {\"summary\": ...}. The exit code is then 0. A second Ctrl-C ends at once, exit code 130.";

/// Arguments of `stream`.
#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
    /// Model to run
    #[command(flatten)]
    pub model: ModelArgs,
    /// On how many threads
    #[command(flatten)]
    pub threads: ThreadArgs,
    /// Size of the frames in pixels, such as 640x480
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = FrameSize::parse)]
    pub size: FrameSize,
    /// How many classes to show per frame
    #[arg(long, default_value_t = 3, value_name = "K")]
    pub top: usize,
    /// Classify frames 0, N, 2N and so on
    #[arg(long, default_value = "1", value_name = "N")]
    pub every: NonZeroU64,
    /// End after N classified frames
    #[arg(long, value_name = "N")]
    pub max_frames: Option<NonZeroU64>,
    /// Classify the newest frame there is and drop those that came while the model was busy; without it the camera has
    /// to wait
    #[arg(long)]
    pub latest: bool,
    /// Print JSON, one line per frame and one of the summary
    #[arg(long)]
    pub json: bool,
}

/// What a frame shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrameAnswer {
    /// Its place in the stream, from 0; frames that were left out count.
    pub frame: u64,
    /// Best guess first.
    pub guesses: Vec<Guess>,
    /// Time for resize and crop, in milliseconds.
    pub preprocess_ms: f64,
    /// Time for the network, in milliseconds.
    pub inference_ms: f64,
}

/// Two points of a distribution, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the frames took no longer.
    pub median: f64,
    /// 95 of 100 frames took no longer.
    pub p95: f64,
}

/// What happened to a whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Whole frames read.
    pub frames: u64,
    /// Frames classified.
    pub classified: u64,
    /// Frames that `--latest` dropped.
    pub dropped: u64,
    /// From the first frame's arrival to the last one's result.
    pub seconds: f64,
    /// Classified ones, over that time.
    pub frames_per_second: f64,
    /// Resize and crop.
    pub preprocess_ms: Latency,
    /// The network.
    pub inference_ms: Latency,
}

/// The last line of `stream --json`.
#[derive(Serialize)]
struct LastLine {
    summary: Summary,
}

/// Times of all frames in a fixed amount of memory.
struct Tally {
    started: Option<Instant>,
    /// From then to the last result.
    elapsed: Duration,
    preprocess: Histogram<u64>,
    inference: Histogram<u64>,
}

impl Tally {
    fn new() -> Result<Self> {
        // Nanoseconds from a microsecond to an hour; three digits are more than a time repeats to.
        let times = || Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3).map_err(|e| anyhow!("{e}"));
        Ok(Self { started: None, elapsed: Duration::ZERO, preprocess: times()?, inference: times()? })
    }

    fn classified(&self) -> u64 {
        self.inference.len()
    }

    fn summary(&self, counts: Counts) -> Summary {
        let seconds = self.elapsed.as_secs_f64();
        let rate = if seconds > 0.0 { self.classified() as f64 / seconds } else { 0.0 };
        Summary {
            frames: counts.read,
            classified: self.classified(),
            dropped: counts.dropped,
            seconds,
            frames_per_second: rate,
            preprocess_ms: latency(&self.preprocess),
            inference_ms: latency(&self.inference),
        }
    }
}

fn record(times: &mut Histogram<u64>, time: Duration) {
    times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

fn latency(times: &Histogram<u64>) -> Latency {
    let point = |quantile| milliseconds(Duration::from_nanos(times.value_at_quantile(quantile)));
    Latency { median: point(0.5), p95: point(0.95) }
}

impl FrameAnswer {
    /// Prints it; false when nobody reads it any more.
    fn show(&self, json: bool) -> Result<bool> {
        if json {
            return output::print_json_line(self);
        }
        let mut text = format!("{:>6}", self.frame);
        for guess in &self.guesses {
            // Writing to a string does not fail.
            let _ = write!(text, "  {guess}");
        }
        output::print_line_if_read(format_args!("{text}"))
    }
}

impl Summary {
    fn show(&self, json: bool) -> Result<()> {
        if json {
            return output::print_json_line(&LastLine { summary: *self }).map(|_| ());
        }
        output::tell(format_args!(
            "{} frames, {} classified, {} dropped: {:.1} classified per second in {:.1} s",
            self.frames, self.classified, self.dropped, self.frames_per_second, self.seconds
        ));
        for (what, times) in [("preprocessing", self.preprocess_ms), ("inference", self.inference_ms)] {
            let Latency { median, p95 } = times;
            output::tell(format_args!("{what:<13}  {median:.3} ms median, {p95:.3} ms 95th percentile"));
        }
        Ok(())
    }
}

/// Classifies one frame; its buffer comes back with the answer.
fn answer(
    session: &mut Session<'_, '_>,
    frame: Frame,
    args: &StreamArgs,
    tally: &mut Tally,
) -> Result<(FrameAnswer, Vec<u8>)> {
    let model = *session.plan().model();
    let input = model.input();
    let start = Instant::now();
    let started = *tally.started.get_or_insert(start);
    let picture = RgbPicture::new(args.size.width, args.size.height, frame.pixels)?;
    let pixels = from_decoded(&picture, &model.preprocess(), input.h(), input.w())?;
    let preprocess = start.elapsed();
    let start = Instant::now();
    let guesses = classify(session, &pixels, args.top)?;
    let inference = start.elapsed();
    tally.elapsed = started.elapsed();
    record(&mut tally.preprocess, preprocess);
    record(&mut tally.inference, inference);
    let (preprocess_ms, inference_ms) = (milliseconds(preprocess), milliseconds(inference));
    Ok((FrameAnswer { frame: frame.number, guesses, preprocess_ms, inference_ms }, picture.into_pixels()))
}

/// Classifies frames until there is none any more, enough are done or nobody reads the answers.
fn classify_frames(
    session: &mut Session<'_, '_>,
    frames: &Frames,
    args: &StreamArgs,
    tally: &mut Tally,
) -> Result<End> {
    let meter = output::progress(None);
    let enough = args.max_frames.map_or(u64::MAX, NonZeroU64::get);
    while tally.classified() < enough {
        let frame = match frames.next() {
            Ok(frame) => frame,
            Err(end) => return Ok(end),
        };
        let (answer, buffer) = answer(session, frame, args, tally)?;
        frames.give_back(buffer);
        meter.inc(1);
        if !meter.suspend(|| answer.show(args.json))? {
            break;
        }
    }
    Ok(End::Stopped)
}

/// Has Ctrl-C and SIGTERM end the stream, also while it waits for a frame, and a second one the process.
fn stop_on_signal(frames: &Arc<Frames>) -> Result<()> {
    let frames = Arc::clone(frames);
    let stop = move || {
        if !frames.stop() {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(stop).context("cannot wait for Ctrl-C")
}

/// Reads standard input on a thread of its own, which ends with the process: nothing can wake it while it waits.
fn read_in_background(frames: &Arc<Frames>) -> Result<()> {
    let frames = Arc::clone(frames);
    let read = move || frames.read(std::io::stdin().lock());
    std::thread::Builder::new().name("frames".into()).spawn(read).context("cannot start a thread")?;
    Ok(())
}

/// Turns the end of a stream into the end of the command.
fn conclude(end: End, size: FrameSize, frames: u64) -> Result<()> {
    match end {
        End::Complete if frames == 0 => {
            bail!("standard input is empty; does the program before the pipe run, and does it write to `-`?")
        }
        End::Complete | End::Stopped => Ok(()),
        End::CutShort(bytes) => bail!(
            "the stream ended within frame {frames}, after {bytes} of its {} bytes; check that --size {size} is what \
             the camera sends, as RGB of 3 bytes a pixel (rgb24)",
            size.bytes()
        ),
        End::Failed(error) => Err(error).context("cannot read standard input"),
    }
}

/// Runs the command.
///
/// # Errors
/// The model cannot be used, standard input is a terminal, empty or ends within a frame, or a frame is too small.
pub fn stream(args: &StreamArgs) -> Result<()> {
    ensure!(
        !std::io::stdin().is_terminal(),
        "standard input is a terminal; pipe raw RGB frames in: ffmpeg -i film.mp4 -vf scale={}:{} -f rawvideo -pix_fmt \
         rgb24 - | resi8-run stream {} --size {}",
        args.size.width,
        args.size.height,
        args.model.model.display(),
        args.size
    );
    let (file, mut source) = file::open(&args.model.model, args.model.isa())?;
    let plan = args.threads.plan(file.model(), args.model.isa())?;
    let mut memory = Memory::new(&plan)?;
    let mut session = memory.load(plan, &mut source)?;
    let wanted = Wanted { every: args.every, latest: args.latest };
    let frames = Arc::new(Frames::new(args.size.bytes(), wanted)?);
    stop_on_signal(&frames)?;
    read_in_background(&frames)?;
    let mut tally = Tally::new()?;
    let end = classify_frames(&mut session, &frames, args, &mut tally)?;
    // A signal that came meanwhile has ended the camera program too: its last, broken frame is no fault.
    let end = if frames.stop() { end } else { End::Stopped };
    let counts = frames.counts();
    if tally.classified() > 0 {
        tally.summary(counts).show(args.json)?;
    }
    conclude(end, args.size, counts.read)
}
