#!/usr/bin/env python3
"""Measures the memory that `resi8-run run MODEL PICTURE` takes on ARM CPUs, under QEMU.

    benches/arm/memory.py resnet18=r18.r8 --picture photo.jpg               two measures of its peak, on four CPUs
    benches/arm/memory.py resnet18=r18.r8 --picture photo.jpg --limit 8     fail above arena + packed weights + 8 MiB
    benches/arm/memory.py resnet18=r18.r8 --picture photo.jpg --record      with a record in benches/record

Builds resi8-run for AArch64 Linux first; --binary takes one that is there. The README beside this file says what is
measured and what it is worth. Exit code: 0 done, 1 failed or above --limit, 2 wrong arguments.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import build
import record
from count import CPUS, NETWORK, PICTURE

PAGE = 4096
MIB = 1 << 20
# Runs of each program; the worst counts.
RUNS = 3
SYSCALL = re.compile(r"\d+ (mmap|munmap|mprotect|mremap|brk)\((.*)\) = (\S+)")


# --- What a program has mapped ---------------------------------------------------------------------------------------


class Mappings:
    """The pages that a process may touch, as its system calls add and take them."""

    def __init__(self):
        self.pages = set()
        self.heap = None
        self.peak = 0

    def apply(self, call, arguments, result):
        """One system call that succeeded."""
        start = number(arguments[0])
        if call == "brk":
            self.set_heap(result)
        elif call == "mmap":
            self.change(result, number(arguments[1]), arguments[2])
        elif call == "mprotect":
            self.change(start, number(arguments[1]), arguments[2])
        elif call == "mremap":
            self.pages -= pages(start, number(arguments[1]))
            self.pages |= pages(result, number(arguments[2]))
        else:
            self.pages -= pages(start, number(arguments[1]))
        self.peak = max(self.peak, len(self.pages))

    def set_heap(self, end):
        """The end of the heap; the first call asks where it begins."""
        self.heap = self.heap or end
        self.pages -= {page for page in self.pages if end <= page * PAGE and page * PAGE < self.heap}
        self.pages |= pages(self.heap, max(end - self.heap, 0))

    def change(self, start, length, protection):
        """A range that may be touched from now on, or may not."""
        if "PROT_NONE" in protection:
            self.pages -= pages(start, length)
        else:
            self.pages |= pages(start, length)


def number(text):
    """An argument of a system call."""
    return 0 if text == "NULL" else int(text, 0)


def pages(start, length):
    """The pages of a range."""
    return set(range(start // PAGE, -(-(start + length) // PAGE)))


def mapped(command, program):
    """Bytes of the program's own segments, and of all else that it has mapped at most at one time."""
    log = build.TARGET / "arm/system-calls.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    build.output([*command[:1], "-strace", "-D", log, *command[1:]])
    mappings = Mappings()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        found = SYSCALL.match(line)
        if found and not found[3].startswith("-"):
            mappings.apply(found[1], [argument.strip() for argument in found[2].split(",")], number(found[3]))
    if not mappings.peak:
        raise build.Failed(f"no system calls in {log}: this QEMU writes them in another way")
    headers = build.output([f"{build.TOOLS}readelf", "--program-headers", "--wide", program])
    segments = re.findall(r"^\s+LOAD\s+\S+\s+(\S+)\s+\S+\s+\S+\s+(\S+)", headers, re.MULTILINE)
    own = set().union(*(pages(number(start), number(length)) for start, length in segments))
    return len(own) * PAGE, mappings.peak * PAGE


# --- What is resident ------------------------------------------------------------------------------------------------


def resident(command):
    """The most bytes that a command and its emulator had resident at one time, as the kernel counts them.

    GNU time starts the command: the kernel also counts what the starting process has resident, and Python's is large.
    """
    report = build.TARGET / "arm/peak"
    report.parent.mkdir(parents=True, exist_ok=True)
    build.output(["/usr/bin/time", "--format", "%M", "--output", report, *command])
    return int(report.read_text(encoding="utf-8")) * 1024


def nothing():
    """Builds a program that does nothing and returns its path."""
    program = build.TARGET / "arm/nothing"
    program.parent.mkdir(parents=True, exist_ok=True)
    source = program.with_suffix(".c")
    source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    build.output([f"{build.TOOLS}gcc", "-O2", "-static", "-o", program, source])
    return program


# --- One line of the result ------------------------------------------------------------------------------------------


def measure(args, network, cpu, program, idle):
    """Both measures for a network on a CPU, beside what it needs."""
    name, model = network
    emulator = [args.qemu, "-cpu", CPUS[cpu].model]
    info = json.loads(build.output([*emulator, program, "info", model, "--json"]))
    command = [*emulator, program, "run", model, args.picture, "--isa", info["isa"], "--threads", "1"]
    segments, others = mapped(command, program)
    alone = min(resident([*emulator, idle]) for _ in range(RUNS))
    sizes = {key: info[key] for key in ("file_bytes", "arena_bytes", "packed_bytes")}
    line = {"network": name, "cpu": cpu, "isa": info["isa"], **sizes, "program_bytes": segments}
    line["mapped_bytes"] = segments + others
    line["resident_bytes"] = max(resident(command) for _ in range(RUNS)) - alone
    # Weights that are packed are not kept as the file has them; those that are not, are.
    kept = sizes["packed_bytes"] or sizes["file_bytes"]
    line["above_bytes"] = max(line["mapped_bytes"], line["resident_bytes"]) - sizes["arena_bytes"] - kept
    return line


def mib(count):
    """Bytes in MiB."""
    return f"{count / MIB:.2f}"


def results(lines):
    """The table of all lines."""
    headings = ["network", "CPU", "instruction set", "file", "arena", "packed", "mapped", "resident", "above buffers"]
    keys = ["file_bytes", "arena_bytes", "packed_bytes", "mapped_bytes", "resident_bytes", "above_bytes"]
    rows = [[line["network"], line["cpu"], line["isa"], *(mib(line[key]) for key in keys)] for line in lines]
    return record.table(headings, rows, 3)


def markdown(values):
    """The whole record."""
    conditions = [
        f"- {values['date']}, resi8 at {values['commit']}, {values['rustc']}, {values['qemu']}",
        f"- `resi8-run run MODEL PICTURE --threads 1`, the picture has {values['picture_bytes']} bytes; all columns in MiB",
        "- *mapped* and *resident* are two measures of the peak; *above buffers* is the larger one without arena and packed weights",
    ]
    parts = [f"# Memory on ARM, {values['date']}", "\n".join(conditions), results(values["lines"])]
    return "\n\n".join([*parts, "What is measured: [benches/arm](../arm/README.md)."]) + "\n"


# --- The command -----------------------------------------------------------------------------------------------------


def parse():
    """The command line."""
    text = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        description=text[0], epilog=text[1], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NAME=FILE", help="models (default: resnet8 of the tests)")
    parser.add_argument("--cpus", default=",".join(CPUS), metavar="NAMES", help="any of %(default)s")
    parser.add_argument("--picture", type=Path, default=PICTURE, metavar="FILE", help="to classify (default: a small one)")
    parser.add_argument("--limit", type=float, metavar="MIB", help="fail if more than this is taken above the buffers")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    build.add_arguments(parser, "a static resi8-run for AArch64")
    parser.add_argument("--qemu", default="qemu-aarch64-static", metavar="FILE", help="(default: %(default)s)")
    args = parser.parse_args()
    check(parser, args)
    return args


def check(parser, args):
    """Completes the arguments, and refuses wrong ones."""
    build.check_arguments(parser, args)
    named = [text.partition("=")[::2] for text in args.networks] or [("resnet8", NETWORK)]
    args.cpus = args.cpus.split(",")
    if unknown := set(args.cpus) - set(CPUS):
        parser.error(f"there is no CPU {sorted(unknown)[0]}; there are: {', '.join(CPUS)}")
    for name, file in named:
        if not Path(file).is_file():
            parser.error(f"{name}: no file '{file}'; write NAME=FILE")
    if not args.picture.is_file():
        parser.error(f"no picture {args.picture}")
    if not shutil.which(args.qemu):
        parser.error(f"there is no {args.qemu}; in Debian it is in the package qemu-user-static")
    if not Path("/usr/bin/time").is_file():
        parser.error("there is no /usr/bin/time; in Debian it is in the package time")
    args.networks = [(name, Path(file).resolve()) for name, file in named]
    args.picture, args.qemu = args.picture.resolve(), shutil.which(args.qemu)


def main():
    """Runs the command."""
    args = parse()
    if args.json:
        sys.stdout, printed = sys.stderr, sys.stdout
    program, idle = build.program(args), nothing()
    lines = [measure(args, network, cpu, program, idle) for network in args.networks for cpu in args.cpus]
    values = {
        **record.origin(args),
        "qemu": build.output([args.qemu, "--version"]).splitlines()[0],
        "picture_bytes": args.picture.stat().st_size,
        "lines": lines,
    }
    print(results(lines))
    if args.json:
        print(json.dumps(values, indent=1), file=printed)
    if args.record:
        print(f"\nwritten: {record.write('arm-memory', values, markdown(values))}")
    return judge(lines, args.limit)


def judge(lines, limit):
    """The exit code."""
    above = [line for line in lines if limit is not None and line["above_bytes"] > limit * MIB]
    for line in above:
        text = f"{line['network']}, {line['cpu']}: {mib(line['above_bytes'])} MiB above its buffers, more than {limit:g}"
        print(text, file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    build.start(main)
