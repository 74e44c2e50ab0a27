//! Checking a model, starting a session, and what a model says about itself.
#![allow(unsafe_code, reason = "pointers come from C")]

use core::ffi::c_void;

use resi8::format::TENSOR_ALIGN;
use resi8::{Buffers, Isa, Layer, Model, Plan, Session};

use crate::handle::{self, Body, Handle, Open};
use crate::memory::{Out, Span};
use crate::run::{Callbacks, Phase};
use crate::status::{Status, status};

/// Bytes of which a model and an arena start at a multiple; `RESI8_ALIGN` in C.
pub(crate) const ALIGN: usize = 4;

const _: () = assert!(ALIGN >= resi8::ARENA_ALIGN && ALIGN >= resi8::PACKED_ALIGN && TENSOR_ALIGN >= ALIGN);

/// Text in a model: UTF-8 without a NUL at its end; `resi8_text` in C.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Text {
    /// First byte.
    pub text: *const u8,
    /// Number of bytes.
    pub len: usize,
}

impl Text {
    fn new(text: &str) -> Self {
        Self { text: text.as_ptr(), len: text.len() }
    }
}

/// What a model takes and gives; `resi8_info` in C.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Info {
    /// Rows of the input.
    pub input_height: u32,
    /// Columns of the input.
    pub input_width: u32,
    /// Channels of the input.
    pub input_channels: u32,
    /// Real value of one step of the input.
    pub input_scale: f32,
    /// Input value that stands for 0.
    pub input_zero_point: i32,
    /// Number of logits.
    pub class_count: u32,
    /// Real value of one step of the logits.
    pub logits_scale: f32,
    /// Number of layers.
    pub layer_count: u32,
    /// Name of the kernels that run it.
    pub kernels: Text,
}

/// One layer; `resi8_layer` in C.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct LayerInfo {
    /// Its number, from 0.
    pub index: u32,
    /// Rows of its output.
    pub height: u32,
    /// Columns of its output.
    pub width: u32,
    /// Channels of its output.
    pub channels: u32,
    /// Multiply-accumulates.
    pub macs: u64,
    /// What it computes.
    pub kind: Text,
    /// Its name; empty when the model has no names.
    pub name: Text,
}

impl LayerInfo {
    pub(crate) fn new(layer: &Layer<'_>, model: &Model<'_>) -> Self {
        Self {
            index: count(layer.index),
            height: count(layer.output.h()),
            width: count(layer.output.w()),
            channels: count(layer.output.c()),
            macs: layer.macs(),
            kind: Text::new(layer.kind()),
            name: Text::new(model.layer_names().nth(layer.index).unwrap_or_default()),
        }
    }
}

/// Sizes and counts of a validated model are at most 65,536.
pub(crate) fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Checks a model and plans it for the kernels of this library.
///
/// # Safety
/// Unless this is an error, the memory can be read and does not change as long as the plan is in use.
unsafe fn plan(model: *const c_void, len: usize) -> Result<Plan<'static>, Status> {
    Span::new(model.cast::<u8>(), len, ALIGN)?;
    // SAFETY: not NULL, no longer than memory can be, and otherwise promised by the caller.
    let file = unsafe { core::slice::from_raw_parts(model.cast::<u8>(), len) };
    Ok(Plan::new(Model::parse(file)?, Isa::best())?)
}

/// Bytes of an arena for C: that of the plan, and behind it the weights that some kernels of hosts pack.
fn arena_len(plan: &Plan<'_>) -> Result<usize, Status> {
    match plan.packed_len() {
        0 => Some(plan.arena_len()),
        packed => plan.arena_len().next_multiple_of(TENSOR_ALIGN).checked_add(packed),
    }
    .ok_or(Status::TooLarge)
}

/// Checks a model.
///
/// # Safety
/// The memory can be read and does not change during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_model_check(model: *const c_void, model_len: usize) -> Status {
    // SAFETY: promised by the caller; the plan is dropped here.
    status(unsafe { plan(model, model_len) }.map(drop))
}

/// Checks a model and says how large its arena is.
///
/// # Safety
/// The model can be read and does not change during the call; `size` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_arena_size(
    model: *const c_void,
    model_len: usize,
    size: *mut usize,
) -> Status {
    let arena_size = || {
        let taken = [Span::new(model.cast::<u8>(), model_len, ALIGN)?];
        // SAFETY: the caller promises that the result may be written to.
        let size = unsafe { Out::new(size, &taken) }?;
        // SAFETY: the caller promises that the model can be read and does not change.
        size.set(arena_len(&unsafe { plan(model, model_len) }?)?);
        Ok(())
    };
    status(arena_size())
}

/// Checks a model and makes a handle ready to run it.
///
/// # Safety
/// Each pointer is to memory of the length beside it. As long as the handle is in use, handle and arena are written by
/// nobody else, but for the input, and the model does not change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_init(
    handle: *mut Handle,
    handle_size: usize,
    model: *const c_void,
    model_len: usize,
    arena: *mut c_void,
    arena_size: usize,
) -> Status {
    let init = || {
        let handle_span = Span::new(handle, 1, align_of::<Handle>())?;
        let model_span = Span::new(model.cast::<u8>(), model_len, ALIGN)?;
        let arena_span = Span::new(arena.cast::<u8>(), arena_size, ALIGN)?;
        if handle_size < size_of::<Handle>() {
            return Err(Status::HandleTooSmall);
        }
        handle_span.apart_from(&[model_span, arena_span])?;
        arena_span.apart_from(&[model_span])?;
        // SAFETY: not NULL, aligned, and otherwise promised by the caller. What was in it is of no use from here on.
        unsafe { handle::clear(handle) }?;
        // SAFETY: the caller promises that the model can be read and does not change.
        let plan = unsafe { plan(model, model_len) }?;
        if arena_size < arena_len(&plan)? {
            return Err(Status::ArenaTooSmall);
        }
        // SAFETY: not NULL, no longer than memory can be, apart from model and handle, and otherwise promised by the caller.
        let memory = unsafe { core::slice::from_raw_parts_mut(arena.cast::<u8>(), arena_size) };
        let end = plan.arena_len().next_multiple_of(TENSOR_ALIGN).min(arena_size);
        let (arena, packed) = memory.split_at_mut_checked(end).ok_or(Status::ArenaTooSmall)?;
        let session = Session::new(plan, Buffers { arena, packed })?;
        let taken = [handle_span, model_span, arena_span];
        let body = Body { session, phase: Phase::NoInput, callbacks: Callbacks::NONE, taken };
        // SAFETY: as for `clear`.
        unsafe { handle::fill(handle, body) };
        Ok(())
    };
    status(init())
}

/// What the model takes and gives.
///
/// # Safety
/// As for [`Open::new`] and [`Out::new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_describe(handle: *mut Handle, info: *mut Info) -> Status {
    let describe = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let open = unsafe { Open::new(handle) }?;
        // SAFETY: the caller promises that the result may be written to.
        let info = unsafe { Out::new(info, &open.taken) }?;
        let plan = open.session.plan();
        let (input, output) = (plan.model().input(), plan.model().output());
        info.set(Info {
            input_height: count(input.h()),
            input_width: count(input.w()),
            input_channels: count(input.c()),
            input_scale: input.scale(),
            input_zero_point: input.zero_point().into(),
            class_count: count(output.c()),
            logits_scale: output.scale(),
            layer_count: count(plan.model().layer_count()),
            kernels: Text::new(plan.kernels().isa.name()),
        });
        Ok(())
    };
    status(describe())
}

/// What a layer is.
///
/// # Safety
/// As for [`Open::new`] and [`Out::new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_layer_info(
    handle: *mut Handle,
    index: usize,
    layer: *mut LayerInfo,
) -> Status {
    let layer_info = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let open = unsafe { Open::new(handle) }?;
        // SAFETY: the caller promises that the result may be written to.
        let out = unsafe { Out::new(layer, &open.taken) }?;
        let model = open.session.plan().model();
        out.set(LayerInfo::new(&model.layer(index).ok_or(Status::Index)?, model));
        Ok(())
    };
    status(layer_info())
}

/// What a class is called.
///
/// # Safety
/// As for [`Open::new`] and [`Out::new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resi8_label(handle: *mut Handle, index: usize, label: *mut Text) -> Status {
    let label_of = || {
        // SAFETY: the caller promises that no other thread uses the memory of the handle.
        let open = unsafe { Open::new(handle) }?;
        // SAFETY: the caller promises that the result may be written to.
        let label = unsafe { Out::new(label, &open.taken) }?;
        let model = open.session.plan().model();
        if index >= model.output().c() {
            return Err(Status::Index);
        }
        label.set(Text::new(model.label(index).ok_or(Status::NoLabels)?));
        Ok(())
    };
    status(label_of())
}
