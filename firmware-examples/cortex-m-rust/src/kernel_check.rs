//! The microkernels of this build against the normative arithmetic, as `runtime/tests/kernel_check.rs` has it, on the processor
//! itself.
#![no_std]
#![no_main]

extern crate alloc;

#[allow(dead_code, reason = "the other program uses the rest")]
mod board;
#[path = "../../../runtime/tests/common/kernels.rs"]
#[allow(dead_code, reason = "the rest is for other tables")]
mod kernels;
#[path = "../../../runtime/tests/common/values.rs"]
#[allow(dead_code, reason = "the rest is for other tests")]
mod values;

use core::mem::MaybeUninit;

use alloc::string::ToString;
use board::Host;
use embedded_alloc::LlffHeap;
use resi8::Isa;
use resi8::kernels::Kernels;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

const HEAP_LEN: usize = 256 * 1024;
static mut HEAP_MEMORY: [MaybeUninit<u8>; HEAP_LEN] = [MaybeUninit::uninit(); HEAP_LEN];

/// Random convolutions.
const CASES: u64 = 2000;

#[cortex_m_rt::entry]
fn main() -> ! {
    board::enable_vector_unit();
    // SAFETY: once, before anything is allocated; nothing else uses the memory.
    unsafe { HEAP.init((&raw mut HEAP_MEMORY).addr(), HEAP_LEN) };
    let mut host = Host::new();
    for isa in Isa::available() {
        if let Some(table) = Kernels::for_isa(isa) {
            (0..CASES).for_each(|seed| kernels::check_conv(table, isa.name(), seed));
            (0..CASES / 10).for_each(|seed| kernels::check_elementwise(table, isa.name(), seed));
            if let Some(transformed) = &table.transformed {
                (0..CASES / 10).for_each(|seed| kernels::check_transformed(transformed, isa.name(), seed));
                host.text("kernel_check: ran transformed weights, ", isa.name());
            }
            host.text("kernel_check: ran ", isa.name());
        }
    }
    board::exit(true)
}

/// Says which case differs.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    Host::new().text("", &info.to_string());
    board::exit(false)
}
