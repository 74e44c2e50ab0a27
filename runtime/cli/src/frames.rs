//! Raw frames from a pipe: one thread reads them, another one takes them.

use std::collections::VecDeque;
use std::io::Read;
use std::num::NonZeroU64;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use resi8_picture::MAX_PIXELS;

use crate::pages::fill;

/// Size of the frames of a stream, in pixels; at least one pixel, at most [`MAX_PIXELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSize {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl FrameSize {
    /// Reads `WIDTHxHEIGHT`.
    ///
    /// # Errors
    /// It is no size, or one out of range; the message says which.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (width, height) =
            text.split_once('x').ok_or("give width and height in pixels, such as 640x480")?;
        let side = |text: &str| {
            let side = text.parse::<u32>().ok().and_then(|side| usize::try_from(side).ok());
            side.filter(|&side| side > 0).ok_or_else(|| {
                format!("{text:?} is not a number of pixels above 0; give width and height, such as 640x480")
            })
        };
        let (width, height) = (side(width)?, side(height)?);
        match width.checked_mul(height) {
            Some(pixels) if pixels <= MAX_PIXELS => Ok(Self { width, height }),
            _ => Err(format!("more than the limit of {} million pixels", MAX_PIXELS / 1_000_000)),
        }
    }

    /// Bytes of a frame: red, green and blue of every pixel.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.width * self.height * 3
    }
}

impl std::fmt::Display for FrameSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its place in the stream, from 0.
    pub number: u64,
    /// [`FrameSize::bytes`] of them.
    pub pixels: Vec<u8>,
}

/// Why there is no further frame.
#[derive(Debug)]
pub enum End {
    /// The stream ended after a whole frame, or was empty.
    Complete,
    /// The stream ended within a frame, after this many of its bytes.
    CutShort(usize),
    /// The stream cannot be read.
    Failed(std::io::Error),
    /// [`Frames::stop`] was called.
    Stopped,
}

/// Which frames of a stream are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Frames 0, n, 2n and so on.
    pub every: NonZeroU64,
    /// Of those that wait, the newest; without it the stream has to wait instead.
    pub latest: bool,
}

/// The frames on their way from the reading thread to the one that takes them. The buffers are made once: what is read
/// ahead never grows.
#[derive(Debug)]
pub struct Frames {
    state: Mutex<State>,
    changed: Condvar,
    wanted: Wanted,
}

#[derive(Debug)]
struct State {
    /// Buffers to read into.
    free: Vec<Vec<u8>>,
    /// Frames that wait to be taken; at most one where only the latest is wanted.
    ready: VecDeque<Frame>,
    counts: Counts,
    end: Option<End>,
    stopped: bool,
}

/// What became of the frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whole frames read.
    pub read: u64,
    /// Wanted ones that a newer one replaced.
    pub dropped: u64,
}

impl Frames {
    /// Makes the buffers for frames of `bytes` bytes: one to read into and one in use, and with `latest` one more that
    /// waits.
    ///
    /// # Errors
    /// There is not that much memory.
    pub fn new(bytes: usize, wanted: Wanted) -> Result<Self> {
        let buffer = |_| {
            let mut buffer = Vec::new();
            buffer
                .try_reserve_exact(bytes)
                .with_context(|| format!("no memory for frames of {bytes} bytes"))?;
            buffer.resize(bytes, 0);
            Ok(buffer)
        };
        let free = (0..2 + usize::from(wanted.latest)).map(buffer).collect::<Result<_>>()?;
        let state =
            State { free, ready: VecDeque::new(), counts: Counts::default(), end: None, stopped: false };
        Ok(Self { state: Mutex::new(state), changed: Condvar::new(), wanted })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state as soon as `change` gives something, and lets the other side know.
    fn when<T>(&self, mut change: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = self.lock();
        loop {
            if let Some(value) = change(&mut state) {
                self.changed.notify_all();
                return value;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads frames until the stream ends or is stopped.
    pub fn read(&self, input: impl Read) {
        let end = self.read_to_end(input);
        self.lock().end = Some(end);
        self.changed.notify_all();
    }

    fn read_to_end(&self, mut input: impl Read) -> End {
        let free = |state: &mut State| if state.stopped { Some(None) } else { state.free.pop().map(Some) };
        while let Some(mut pixels) = self.when(free) {
            match fill(&mut input, &mut pixels) {
                Ok(bytes) if bytes == pixels.len() => self.put(pixels),
                Ok(0) => return End::Complete,
                Ok(bytes) => return End::CutShort(bytes),
                Err(error) => return End::Failed(error),
            }
        }
        End::Stopped
    }

    /// Counts a whole frame and queues it if it is wanted.
    fn put(&self, pixels: Vec<u8>) {
        let mut state = self.lock();
        let number = state.counts.read;
        state.counts.read += 1;
        if !number.is_multiple_of(self.wanted.every.get()) {
            state.free.push(pixels);
            return;
        }
        if self.wanted.latest
            && let Some(stale) = state.ready.pop_front()
        {
            state.counts.dropped += 1;
            state.free.push(stale.pixels);
        }
        state.ready.push_back(Frame { number, pixels });
        self.changed.notify_all();
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// There is none any more. Once stopped, frames that wait are not given out.
    pub fn next(&self) -> Result<Frame, End> {
        self.when(|state| {
            if state.stopped {
                return Some(Err(End::Stopped));
            }
            match state.ready.pop_front() {
                Some(frame) => Some(Ok(frame)),
                None => state.end.take().map(Err),
            }
        })
    }

    /// Gives the buffer of a frame back.
    pub fn give_back(&self, pixels: Vec<u8>) {
        self.lock().free.push(pixels);
        self.changed.notify_all();
    }

    /// Ends the stream from outside; false when that was done before.
    pub fn stop(&self) -> bool {
        let before = std::mem::replace(&mut self.lock().stopped, true);
        self.changed.notify_all();
        !before
    }

    /// What was read until now.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(every: u64, latest: bool) -> Frames {
        Frames::new(3, Wanted { every: NonZeroU64::new(every).unwrap(), latest }).unwrap()
    }

    /// One byte at a time, as a slow pipe may give them.
    struct Slow<'b>(&'b [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    #[test]
    fn the_latest_replaces_what_waits() {
        let frames = frames(1, true);
        frames.read(&[0, 0, 0, 1, 1, 1, 2, 2, 2][..]);
        assert_eq!(frames.next().unwrap(), Frame { number: 2, pixels: vec![2; 3] });
        assert!(matches!(frames.next(), Err(End::Complete)));
        assert_eq!(frames.counts(), Counts { read: 3, dropped: 2 });
    }

    #[test]
    fn of_every_nth_only_the_wanted_count_as_dropped() {
        let frames = frames(2, true);
        frames.read(Slow(&[7; 3 * 6]));
        assert_eq!(frames.next().unwrap().number, 4);
        assert_eq!(frames.counts(), Counts { read: 6, dropped: 2 });
    }

    #[test]
    fn without_latest_no_frame_is_lost() {
        let frames = frames(2, false);
        let bytes: Vec<u8> = (0..3 * 100).map(|index| index / 3).map(|n| u8::try_from(n).unwrap()).collect();
        let taken = std::thread::scope(|scope| {
            scope.spawn(|| frames.read(Slow(&bytes)));
            let next = || {
                let frame = frames.next().ok()?;
                frames.give_back(frame.pixels.clone());
                Some((frame.number, frame.pixels))
            };
            std::iter::from_fn(next).collect::<Vec<_>>()
        });
        let expected: Vec<_> = (0..100).step_by(2).map(|n| (n, vec![u8::try_from(n).unwrap(); 3])).collect();
        assert_eq!(taken, expected);
    }

    #[test]
    fn a_stop_ends_both_sides() {
        let frames = frames(1, false);
        std::thread::scope(|scope| {
            scope.spawn(|| frames.read(std::io::repeat(1)));
            assert_eq!(frames.next().unwrap().number, 0);
            assert!(frames.stop());
            assert!(!frames.stop());
            assert!(matches!(frames.next(), Err(End::Stopped)));
        });
    }

    #[test]
    fn ends() {
        let end = |bytes: &[u8]| {
            let frames = frames(1, true);
            frames.read(bytes);
            let _ = frames.next();
            frames.next().unwrap_err()
        };
        assert!(matches!(end(&[1; 5]), End::CutShort(2)));
        assert!(matches!(end(&[1; 6]), End::Complete));
    }

    #[test]
    fn sizes() {
        assert_eq!(FrameSize::parse("640x480"), Ok(FrameSize { width: 640, height: 480 }));
        for wrong in [
            "",
            "640",
            "0x480",
            "640x",
            "640x0",
            "-1x1",
            "8001x8000",
            "4294967296x1",
            "4294967295x4294967295",
        ] {
            assert!(FrameSize::parse(wrong).is_err(), "{wrong}");
        }
    }
}
