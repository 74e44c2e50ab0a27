"""Builds what is measured: `resi8-run` for AArch64 Linux as it ships but with its symbols, and the plugin."""

import os
import subprocess
import sys
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
        reason = f"cannot start {command[0]} ({error.strerror})"
        raise Failed(f"{reason}; benches/arm/README.md lists what to install") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Failed(f"{command[0]} failed: " + "\n".join(lines[-5:] or [f"exit code {done.returncode}"]))
    return done.stdout


def start(main):
    """Runs a command and ends the program with its exit code."""
    try:
        sys.exit(main())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever reads has seen enough
        sys.exit(1)
    except Failed as failure:
        print(f"{Path(sys.argv[0]).name}: {failure}", file=sys.stderr)
        sys.exit(1)


def add_arguments(parser, binary):
    """What to build and how, on a command line."""
    parser.add_argument("--binary", type=Path, metavar="FILE", help=f"{binary}, instead of building resi8-run")
    parser.add_argument("--cargo-profile", default="dist", metavar="NAME", help="to build with (default: %(default)s)")
    parser.add_argument("--build-std", metavar="TOOLCHAIN", help="build with it and its standard library's sources")
    parser.add_argument("--record", action="store_true", help="write a record to benches/record")


def check_arguments(parser, args):
    """Refuses what `add_arguments` cannot know to be wrong."""
    if args.binary and not args.binary.is_file():
        parser.error(f"no program {args.binary}")
    if args.binary and args.record:
        parser.error("a record says which commit was built: leave --binary out")


def program(args):
    """The path of `--binary`, or of `resi8-run`, built with static linking.

    With `--build-std`, the standard library is built from source: for machines that rustup has none for.
    """
    if args.binary:
        return args.binary.resolve()
    profile, toolchain = args.cargo_profile, args.build_std
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
