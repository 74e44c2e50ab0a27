//! Input, runs and results.
#![allow(unsafe_code, reason = "pointers come from C")]

use core::ffi::c_void;

use resi8::{Layer, Model, Observer, Output, RunError};

use crate::handle::{Body, Handle, Open};
use crate::memory::{Out, Span};
use crate::model::{LayerInfo, count};
use crate::status::{Status, status};

/// Where a handle is between one input and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Phase {
    /// The memory of the input is not (or no longer) that of an input.
    NoInput,
    /// The input can be written, and a run can start.
    Input,
    /// Some layers have run.
    Running,
    /// The logits can be read.
    Done,
}

/// A function of the caller that looks at a layer; `resi8_layer_callback` in C.
pub type LayerCallback = Option<unsafe extern "C" fn(user: *mut c_void, layer: *const LayerInfo)>;

/// What is called before and after each layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callbacks {
    before: LayerCallback,
    after: LayerCallback,
    user: *mut c_void,
}

impl Callbacks {
    pub(crate) const NONE: Self = Self { before: None, after: None, user: core::ptr::null_mut() };
}

/// The caller's functions, for one run.
struct Watch<'m> {
    model: Model<'m>,
    callbacks: Callbacks,
}

// SAFETY: a plan of this library has one thread, so that the observer stays on the thread of the caller.
unsafe impl Send for Watch<'_> {}

impl Watch<'_> {
    fn call(&self, callback: LayerCallback, layer: &Layer<'_>) {
        let Some(callback) = callback else { return };
        // A row is shown as the layer that it is part of.
        let Some(layer) = self.model.layer(layer.index) else { return };
        let info = LayerInfo::new(&layer, &self.model);
        // SAFETY: the caller promised `resi8_set_observer` that it can be called with `user`.
        unsafe { callback(self.callbacks.user, &raw const info) }
    }
}

impl Observer for Watch<'_> {
    fn before(&mut self, layer: &Layer<'_>) {
        self.call(self.callbacks.before, layer);
    }

    fn after(&mut self, layer: &Layer<'_>, _: Output<'_>) -> Result<(), RunError> {
        self.call(self.callbacks.after, layer);
        Ok(())
    }
}

impl Body {
    /// Runs up to `layers` layers; whether that was all.
    fn run(&mut self, layers: usize) -> Result<bool, Status> {
        if !matches!(self.phase, Phase::Input | Phase::Running) {
            return Err(Status::Order);
        }
        self.phase = Phase::NoInput;
        let mut watch = Watch { model: *self.session.plan().model(), callbacks: self.callbacks };
        let finished = self.session.run_layers(layers, &mut watch)?;
        self.phase = if finished { Phase::Done } else { Phase::Running };
        Ok(finished)
    }

    fn logits(&self) -> Result<&[i32], Status> {
        if self.phase == Phase::Done { Ok(self.session.logits()) } else { Err(Status::Order) }
    }
}

/// Where the next input goes.
///
/// # Safety
/// As for [`Open::new`] and [`Out::new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_input(handle: *mut Handle, input: *mut *mut i8, len: *mut usize) -> Status {
    let input_of = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let mut open = unsafe { Open::new(handle) }?;
        // SAFETY: the caller promises that the result may be written to.
        let (input, len) = unsafe { (Out::new(input, &open.taken)?, Out::new(len, &open.taken)?) };
        open.phase = Phase::Input;
        let values = open.session.input_mut();
        len.set(values.len());
        input.set(values.as_mut_ptr());
        Ok(())
    };
    status(input_of())
}

/// Copies raw 8-bit pixels into the input.
///
/// # Safety
/// As for [`Open::new`]; the pixels can be read and do not change during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_set_pixels(handle: *mut Handle, pixels: *const u8, count: usize) -> Status {
    let set_pixels = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let mut open = unsafe { Open::new(handle) }?;
        Span::new(pixels, count, 1)?.apart_from(&open.taken)?;
        // SAFETY: not NULL, no longer than memory can be, apart from what is written, and otherwise promised by the caller.
        let pixels = unsafe { core::slice::from_raw_parts(pixels, count) };
        open.session.set_pixels(pixels)?;
        open.phase = Phase::Input;
        Ok(())
    };
    status(set_pixels())
}

/// Runs all layers that are left.
///
/// # Safety
/// As for [`Open::new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_run(handle: *mut Handle) -> Status {
    // SAFETY: the caller promises that no other thread uses the memory of the handle.
    let run = || unsafe { Open::new(handle) }?.run(usize::MAX).map(|_| ());
    status(run())
}

/// Runs the next layers.
///
/// # Safety
/// As for [`Open::new`] and [`Out::new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_run_layers(handle: *mut Handle, count: usize, finished: *mut bool) -> Status {
    let run_layers = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let mut open = unsafe { Open::new(handle) }?;
        // SAFETY: the caller promises that the result may be written to.
        let finished = unsafe { Out::new(finished, &open.taken) }?;
        finished.set(open.run(count)?);
        Ok(())
    };
    status(run_layers())
}

/// The logits of the last run.
///
/// # Safety
/// As for [`Open::new`] and [`Out::new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_logits(
    handle: *mut Handle,
    logits: *mut *const i32,
    count: *mut usize,
    scale: *mut f32,
) -> Status {
    let logits_of = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let open = unsafe { Open::new(handle) }?;
        // SAFETY: the caller promises that the result may be written to.
        let (out, count) = unsafe { (Out::new(logits, &open.taken)?, Out::new(count, &open.taken)?) };
        // SAFETY: the caller promises that the result may be written to.
        let scale = unsafe { Out::new(scale, &open.taken) }?;
        let logits = open.logits()?;
        count.set(logits.len());
        scale.set(open.session.logits_scale());
        out.set(logits.as_ptr());
        Ok(())
    };
    status(logits_of())
}

/// A class and its logit; `resi8_class` in C.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Class {
    /// Number of the class.
    pub index: u32,
    /// Its logit.
    pub logit: i32,
}

/// The best classes of the last run.
///
/// # Safety
/// As for [`Open::new`] and [`Out::new`]; `best` has room for `capacity` classes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_top_k(
    handle: *mut Handle,
    best: *mut Class,
    capacity: usize,
    found: *mut usize,
) -> Status {
    let top_k = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let open = unsafe { Open::new(handle) }?;
        Span::new(best, capacity, align_of::<Class>())?.apart_from(&open.taken)?;
        // SAFETY: the caller promises that the result may be written to.
        let found = unsafe { Out::new(found, &open.taken) }?;
        let ranked = resi8::ranked(open.logits()?).take(capacity);
        let filled = ranked.enumerate().map(|(place, (class, logit))| {
            // SAFETY: the place is below the capacity, and the caller promised that much memory.
            unsafe { best.add(place).write(Class { index: count(class), logit }) }
        });
        found.set(filled.count());
        Ok(())
    };
    status(top_k())
}

/// Sets what is called before and after each layer.
///
/// # Safety
/// As for [`Open::new`]; the functions can be called with `user` as long as the handle is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_set_observer(
    handle: *mut Handle,
    before: LayerCallback,
    after: LayerCallback,
    user: *mut c_void,
) -> Status {
    // SAFETY: the caller promises that no other thread uses the memory of the handle.
    let open = unsafe { Open::new(handle) };
    status(open.map(|mut open| open.callbacks = Callbacks { before, after, user }))
}

/// Compares every layer with what the converter computed.
///
/// # Safety
/// As for [`Open::new`] and [`Out::new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_selftest(handle: *mut Handle, failed_layer: *mut usize) -> Status {
    let selftest = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let mut open = unsafe { Open::new(handle) }?;
        // SAFETY: the caller promises that the result may be written to.
        let failed_layer = unsafe { Out::new(failed_layer, &open.taken) }?;
        open.phase = Phase::NoInput;
        let result = open.session.self_test();
        if let Err(RunError::SelfTest { layer, .. }) = result {
            failed_layer.set(layer);
        }
        Ok(result?)
    };
    status(selftest())
}
