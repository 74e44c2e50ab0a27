"""Builds what is measured: `resi8-run` for AArch64 Linux as it ships but with its symbols, and the plugin."""
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TRIPLE = "aarch64-unknown-linux-gnu"
TOOLS = "aarch64-linux-gnu-"


class Failed(Exception):
    """What did not work, and what to do about it."""


def output(command, environment=None):
    """What a command prints; an error says what it complained of last."""
    command = [str(part) for part in command]
    environment = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    except OSError as error:
        raise Failed(f"cannot start {command[0]} ({error.strerror}); benches/arm/README.md lists what to install") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Failed(f"{command[0]} failed: " + "\n".join(lines[-5:] or [f"exit code {done.returncode}"]))
    return done.stdout


def program(profile, toolchain):
    """Builds `resi8-run`, statically linked, and returns its path.

    With a toolchain, its standard library is built from source: for machines that rustup has no library for.
    """
    variable = TRIPLE.upper().replace("-", "_")
    environment = {
        f"CARGO_TARGET_{variable}_LINKER": f"{TOOLS}gcc",
        f"CARGO_TARGET_{variable}_RUSTFLAGS": "-Ctarget-feature=+crt-static -Csymbol-mangling-version=v0",
        f"CARGO_PROFILE_{profile.upper()}_STRIP": "none",
        "CARGO_TARGET_DIR": str(TARGET),
    }
    command = ["cargo", "build", "--locked", "--profile", profile, "-p", "resi8-run", "--target", TRIPLE]
    if toolchain:
        command[1:1] = [f"+{toolchain}"]
        command += ["-Zbuild-std=std,panic_abort"]
        environment["RUSTC_BOOTSTRAP"] = "1"  # for the standard library only; resi8 itself uses nothing unstable
    print(f"building resi8-run for {TRIPLE} ...", flush=True)
    output(command, environment)
    return TARGET / TRIPLE / profile / "resi8-run"


def plugin():
    """Builds the plugin and returns its path."""
    library = TARGET / "arm/count_instructions.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    output(["cc", "-O2", "-shared", "-fPIC", "-o", library, HERE / "count_instructions.c"])
    return library


def rustc_version(toolchain):
    """The compiler's version."""
    return output(["rustc", *([f"+{toolchain}"] if toolchain else []), "--version"]).strip()
