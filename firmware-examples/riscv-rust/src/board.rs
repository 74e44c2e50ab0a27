//! What QEMU's machine offers: a host to print to, a counter of instructions, memory for the stack.
//!
//! On a real board the host is a UART; the counter is there too.
#![allow(unsafe_code, reason = "semihosting, counters and the painted stack have no safe interface")]

use core::arch::asm;

// Operations of semihosting; each takes the address of its parameters, `EXIT` its only one.
const OPEN: usize = 0x01;
const WRITE: usize = 0x05;
const READ: usize = 0x06;
const GET_CMDLINE: usize = 0x15;
const EXIT: usize = 0x18;

/// Asks the host for an operation.
///
/// # Safety
/// `parameter` is what the operation expects, and the memory it names is there.
unsafe fn call(operation: usize, parameter: usize) -> usize {
    let result;
    // SAFETY: the three instructions, none of them compressed and all on one page, are a call of the host, which changes a0 and
    // the memory that the parameters name.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inlateout("a0") operation => result,
            in("a1") parameter,
            options(nostack),
        );
    }
    result
}

/// A call with a block of three parameters; those that the operation has not are not looked at.
///
/// # Safety
/// As for `call`.
unsafe fn call_with(operation: usize, parameters: [usize; 3]) -> usize {
    // SAFETY: the caller's promise; the block lives until the host has answered.
    unsafe { call(operation, (&raw const parameters).addr()) }
}

/// Prints on the terminal that runs QEMU, without the formatting of `core::fmt`, which would be larger than the runtime.
pub struct Host(usize);

impl Host {
    #[inline(never)]
    pub fn new() -> Self {
        // Mode 4 is "w", which makes `:tt` the standard output.
        // SAFETY: the host reads a name of three bytes and its terminator.
        Self(unsafe { call_with(OPEN, [c":tt".as_ptr().addr(), 4, 3]) })
    }

    fn write(&mut self, text: &[u8]) {
        // SAFETY: the host reads that many bytes.
        unsafe { call_with(WRITE, [self.0, text.as_ptr().addr(), text.len()]) };
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
        let failed = unsafe { call_with(GET_CMDLINE, [name.as_mut_ptr().addr(), name.len() - 1, 0]) } != 0;
        if failed || name[0] == b'-' {
            return None;
        }
        let length = name.iter().position(|byte| *byte == 0)?;
        // Mode 1 is "rb".
        // SAFETY: the host reads a name of that length and its terminator.
        let handle = unsafe { call_with(OPEN, [name.as_ptr().addr(), 1, length]) };
        (handle != usize::MAX).then_some(File(handle))
    }
}

/// A file of the host.
pub struct File(usize);

impl File {
    /// Fills `buffer`: false at the end of the file, `None` when it ends within.
    pub fn read(&self, buffer: &mut [u8]) -> Option<bool> {
        // SAFETY: the host writes at most `buffer.len()` bytes.
        match unsafe { call_with(READ, [self.0, buffer.as_mut_ptr().addr(), buffer.len()]) } {
            0 => Some(true),
            missing if missing == buffer.len() => Some(false),
            _ => None,
        }
    }
}

pub fn exit(success: bool) -> ! {
    /// "The application has exited"; any other reason is a failure.
    const APPLICATION_EXIT: usize = 0x20026;
    // SAFETY: the operation takes a number, and does not return.
    unsafe { call(EXIT, if success { APPLICATION_EXIT } else { 0 }) };
    loop {
        core::hint::spin_loop();
    }
}

/// Where the counter of instructions stood. QEMU counts exactly with `-icount shift=0`.
#[derive(Clone, Copy)]
pub struct Instructions(u32);

impl Instructions {
    /// Before anything ran.
    pub const START: Self = Self(0);

    pub fn now() -> Self {
        let count;
        // SAFETY: reading a counter changes nothing.
        unsafe { asm!("csrr {}, minstret", out(reg) count, options(nostack)) };
        Self(count)
    }

    /// Instructions since then.
    pub fn elapsed(self) -> u32 {
        Self::now().0.wrapping_sub(self.0)
    }
}

/// Runs something and gives its instructions.
pub fn counted<E>(run: impl FnOnce() -> Result<(), E>) -> Result<u32, E> {
    let start = Instructions::now();
    let result = run();
    let elapsed = start.elapsed();
    result.map(|()| elapsed)
}

const PAINT: u32 = 0xcccc_cccc;

/// The lowest word of the stack, and what is behind its highest.
fn stack() -> (*const u32, *const u32) {
    unsafe extern "C" {
        static __estack: u8;
        static _stack_start: u32;
    }
    // A linker may begin the stack anywhere.
    let end = &raw const __estack;
    (end.wrapping_add(end.align_offset(size_of::<u32>())).cast(), &raw const _stack_start)
}

/// Paints the stack that is not in use, for `stack_used`.
#[inline(never)]
pub fn paint_stack() {
    let top: usize;
    // SAFETY: reading a register changes nothing.
    unsafe { asm!("mv {}, sp", out(reg) top, options(nostack)) };
    let mut word = stack().0.cast_mut();
    while word.addr() < top {
        // SAFETY: from the lower end of the stack, which the linker script sets, to the stack pointer is memory that nothing uses.
        unsafe { word.write_volatile(PAINT) };
        word = word.wrapping_add(1);
    }
}

/// The most bytes of stack that were in use since it was painted.
pub fn stack_used() -> usize {
    let (mut lowest, start) = stack();
    // SAFETY: the linker script sets both ends of the stack, which is memory; only its part that the running functions do not use
    // holds the paint, so that the loop ends before it.
    while lowest < start && unsafe { lowest.read_volatile() } == PAINT {
        lowest = lowest.wrapping_add(1);
    }
    start.addr() - lowest.addr()
}
