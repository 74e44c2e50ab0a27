//! The C interface of resi8. `include/resi8.h` documents it for its users; here is how its promises are kept.
//!
//! Every function checks what can be seen of its pointers ([`memory`]) and that the handle is as the call before left it
//! ([`handle`]), and turns every error into a [`Status`]. What cannot be seen is whether the memory that a pointer names is
//! the caller's: that is the one thing that callers vouch for.
#![cfg_attr(target_os = "none", no_std)]
#![warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod handle;
mod memory;
mod model;
mod run;
mod status;

pub use handle::{HANDLE_WORDS, Handle, resi8_handle_size};
pub use model::{Info, LayerInfo, Text, resi8_arena_size, resi8_describe, resi8_init};
pub use model::{resi8_label, resi8_layer_info, resi8_model_check};
pub use run::{Class, LayerCallback, resi8_input, resi8_logits, resi8_run, resi8_run_layers};
pub use run::{resi8_selftest, resi8_set_observer, resi8_set_pixels, resi8_top_k};
pub use status::{Status, VERSION, resi8_status_text, resi8_version};

/// Firmware in C has no panic handler. Nothing in the library can panic, so linkers leave this one out.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
