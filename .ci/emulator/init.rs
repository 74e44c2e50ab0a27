//! The first and only process of the emulated Linux: runs `program` with the arguments and the environment that
//! run.sh has put beside it, relays its output to Bochs' debug port, reports its exit code and turns the machine off.

use std::ffi::{CStr, OsString, c_char, c_int, c_ulong, c_void};
use std::io::Read;
use std::os::unix::{ffi::OsStringExt, process::ExitStatusExt};
use std::process::{Command, Stdio};
use std::{arch::asm, fs, io, ptr};

/// Bochs prints every byte that is written here.
const DEBUG_PORT: u16 = 0xe9;
/// Bochs ends when "Shutdown" is written here.
const SHUTDOWN_PORT: u16 = 0x8900;

unsafe extern "C" {
    fn iopl(level: c_int) -> c_int;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
}

fn send(port: u16, bytes: &[u8]) {
    for &byte in bytes {
        // SAFETY: `iopl` has allowed it, and the two ports have no effect on memory.
        unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags)) };
    }
}

/// The strings of a file in which a NUL ends each.
fn strings(path: &str) -> io::Result<Vec<OsString>> {
    let mut bytes = fs::read(path)?;
    if bytes.pop().is_none() {
        return Ok(Vec::new());
    }
    Ok(bytes.split(|&byte| byte == 0).map(|string| OsString::from_vec(string.to_vec())).collect())
}

/// Runs the program to its end. Returns its exit code, or 128 and the signal that ended it as a shell does, and
/// whether its output ended within a line.
fn run() -> io::Result<(i32, bool)> {
    let (mut output, writer) = io::pipe()?;
    let mut command = Command::new("/program");
    command.args(strings("/arguments")?).env_clear().env("PATH", "/");
    for variable in strings("/environment")? {
        let text = variable.to_string_lossy();
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        command.env(name, value);
    }
    command.current_dir("/files").stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds ends of the pipe too, which would keep it open.
    drop(command);
    let mut buffer = [0; 4096];
    let mut last = b'\n';
    loop {
        let length = output.read(&mut buffer)?;
        let Some(&byte) = buffer[..length].last() else { break };
        send(DEBUG_PORT, &buffer[..length]);
        last = byte;
    }
    let status = child.wait()?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok((code, last != b'\n'))
}

fn mount_all(kinds: &[(&CStr, &CStr)]) {
    for (target, kind) in kinds {
        // SAFETY: all strings end with a NUL. A program that needs none of these works without, so a failure is
        // left to the program to report.
        unsafe { mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, ptr::null()) };
    }
}

fn main() {
    // SAFETY: this process is root, and uses the two ports above only.
    unsafe { iopl(3) };
    mount_all(&[(c"/proc", c"proc"), (c"/sys", c"sysfs"), (c"/dev", c"devtmpfs"), (c"/tmp", c"tmpfs")]);
    send(DEBUG_PORT, b"\n@@ emulated program starts\n");
    let (code, within_line) = run().unwrap_or_else(|error| {
        send(DEBUG_PORT, format!("cannot run the program: {error}\n").as_bytes());
        (126, false)
    });
    let separator = if within_line { "\n" } else { "" };
    send(DEBUG_PORT, format!("{separator}@@ emulated program ends {code}\n").as_bytes());
    send(SHUTDOWN_PORT, b"Shutdown");
    loop {
        std::thread::park();
    }
}
