//! What QEMU's boards offer: a host to print to, a counter of instructions, a painted stack.
//!
//! On a real board the host is a UART, and the counter `DWT::cycle_count`.
#![allow(
    unsafe_code,
    reason = "semihosting, marker instructions and the painted stack have no safe interface"
)]

#[cfg(not(feature = "v6"))]
use core::arch::asm;

use cortex_m::peripheral::SYST;
use cortex_m_semihosting::{debug, hio, syscall};

/// Prints on the terminal that runs QEMU, without the formatting of `core::fmt`, which would be larger than the runtime.
pub struct Host(Option<hio::HostStream>);

impl Host {
    #[inline(never)]
    pub fn new() -> Self {
        start_counter();
        Self(hio::hstdout().ok())
    }

    fn write(&mut self, text: &[u8]) {
        if let Some(stream) = &mut self.0 {
            let _ = stream.write_all(text);
        }
    }

    /// A name and what it stands for.
    pub fn text(&mut self, name: &str, value: &str) {
        self.write(name.as_bytes());
        self.write(value.as_bytes());
        self.write(b"\n");
    }

    /// A name and numbers.
    pub fn line(&mut self, name: &str, numbers: &[u32]) {
        self.write(name.as_bytes());
        for number in numbers {
            self.write(b" ");
            self.number(*number);
        }
        self.write(b"\n");
    }

    fn number(&mut self, mut number: u32) {
        let mut digits = [0; 10];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            used += 1;
            if number == 0 {
                break;
            }
        }
        self.write(digits.get(digits.len() - used..).unwrap_or_default());
    }

    /// The file that QEMU's `arg=` names; `-` stands for none, since without an argument QEMU names the image itself.
    #[inline(never)]
    pub fn argument(&self) -> Option<File> {
        let mut name = [0u8; 256];
        // SAFETY: the host writes at most as many bytes as it is told into `name`, which stays zero-terminated.
        let failed = unsafe { syscall!(GET_CMDLINE, name.as_mut_ptr(), name.len() - 1) } != 0;
        if failed || name[0] == b'-' {
            return None;
        }
        let length = name.iter().position(|byte| *byte == 0)?;
        // Mode 1 is "rb".
        // SAFETY: the host reads a name of that length and its terminator.
        let handle = unsafe { syscall!(OPEN, name.as_ptr(), 1, length) };
        (handle != usize::MAX).then_some(File(handle))
    }
}

/// A file of the host.
pub struct File(usize);

impl File {
    /// Fills `buffer`: false at the end of the file, `None` when it ends within.
    pub fn read(&self, buffer: &mut [u8]) -> Option<bool> {
        // SAFETY: the host writes at most `buffer.len()` bytes.
        match unsafe { syscall!(READ, self.0, buffer.as_mut_ptr(), buffer.len()) } {
            0 => Some(true),
            missing if missing == buffer.len() => Some(false),
            _ => None,
        }
    }
}

pub fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

/// Where the counter stood. QEMU with `-icount` executes an instruction every 2^N nanoseconds, and SysTick counts the
/// board's clock, so ticks are instructions by a factor that `run.sh` knows.
#[derive(Clone, Copy)]
pub struct Instructions(u32);

const WRAP: u32 = 0x00ff_ffff;

fn start_counter() {
    // SAFETY: nothing else uses SysTick.
    let mut syst = unsafe { cortex_m::Peripherals::steal() }.SYST;
    syst.set_clock_source(cortex_m::peripheral::syst::SystClkSource::Core);
    syst.set_reload(WRAP);
    syst.clear_current();
    syst.enable_counter();
    // It stands at 0 until its first tick.
    while SYST::get_current() == 0 {}
}

impl Instructions {
    /// Before anything ran.
    pub const START: Self = Self(0);

    pub fn now() -> Self {
        Self(SYST::get_current())
    }

    /// Ticks since then.
    pub fn elapsed(self) -> u32 {
        self.0.wrapping_sub(SYST::get_current()) & WRAP
    }
}

/// Runs something between two marker instructions, which a plugin of QEMU can count between, and gives its ticks. Cores of `v6`
/// have no such instruction.
pub fn counted<E>(run: impl FnOnce() -> Result<(), E>) -> Result<u32, E> {
    let start = Instructions::now();
    // SAFETY: a hint without a meaning does nothing.
    #[cfg(not(feature = "v6"))]
    unsafe {
        asm!(".inst.w 0xf3af8040");
    };
    let result = run();
    // SAFETY: as above.
    #[cfg(not(feature = "v6"))]
    unsafe {
        asm!(".inst.w 0xf3af8042");
    };
    let elapsed = start.elapsed();
    result.map(|()| elapsed)
}

/// Switches floating point and vector instructions on, where there are any.
pub fn enable_vector_unit() {
    #[cfg(feature = "mve")]
    {
        const CPACR: *mut u32 = 0xe000_ed88 as *mut u32;
        // SAFETY: the register exists on every Armv8.1-M core, and nothing else writes to it.
        unsafe { CPACR.write_volatile(CPACR.read_volatile() | 0xf << 20) };
        cortex_m::asm::dsb();
        cortex_m::asm::isb();
    }
}

/// The most bytes of stack that were in use so far: the start-up code has painted all of it.
pub fn stack_used() -> usize {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    const PAINT: u32 = 0xcccc_cccc;
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let mut lowest = end;
    // SAFETY: the linker script sets both symbols around the stack, which is memory; only its part that the running functions do
    // not use holds the paint, so that the loop ends before it.
    while lowest < start && unsafe { lowest.read_volatile() } == PAINT {
        lowest = lowest.wrapping_add(1);
    }
    start as usize - lowest as usize
}
