#!/usr/bin/env python3
"""Counts the instructions that one inference executes on ARM CPUs, under QEMU.

    benches/arm/count.py                                            ResNet-8 on four CPUs
    benches/arm/count.py resnet8=r8.r8 resnet18=r18.r8 --record     two networks, with a record in benches/record
    benches/arm/count.py --cpus cortex-a72 --profile                which functions they are in
    benches/arm/count.py --cpus cortex-a72 --layers                 which layers
    benches/arm/count.py --cpus cortex-a72 --annotate neon::conv    every instruction of these functions
    benches/arm/count.py --limit 0.85                               fail above 0.85 of the best rival's count

Builds resi8-run for AArch64 Linux first; --binary takes one that is there. The network `resnet8` or `resnet18` is
compared with the rivals' counts for it. The README beside this file says what is counted and what it is worth.
Exit code: 0 done, 1 failed or above --limit, 2 wrong arguments.
"""

import argparse
import collections
import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path

import build
import executed
import record

NETWORK = build.ROOT / "runtime/tests/models/resnet8.r8"
PICTURE = build.ROOT / "converter/models/pictures/cat-1.png"
WARMUPS = (1, 2, 3)
# Two differences of runs that should be equal; they differ by what printing a time takes.
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Cpu:
    """What QEMU emulates, and the instruction set that resi8 should use on it."""

    model: str
    isa: str


CPUS = {
    "cortex-a53": Cpu("cortex-a53", "neon"),
    "cortex-a72": Cpu("cortex-a72", "neon"),
    "cortex-a76": Cpu("cortex-a76", "neon-dotprod"),
    "i8mm": Cpu("max,sve=off,sme=off", "neon-i8mm"),
}

# One warm inference with one thread, counted in the same way under QEMU 7.2: LiteRT 2.3.0 with XNNPACK, and ncnn
# a4d2ea1d (July 2026) built with GCC 12 for each instruction set, convolutions in int8.
RIVALS = {
    "resnet8": {
        "cortex-a53": {"XNNPACK": 5.02e6, "ncnn": 4.75e6},
        "cortex-a72": {"XNNPACK": 4.33e6, "ncnn": 4.75e6},
        "cortex-a76": {"XNNPACK": 1.504e6, "ncnn": 1.89e6},
        "i8mm": {"XNNPACK": 1.258e6, "ncnn": 1.47e6},
    },
    "resnet18": {
        "cortex-a53": {"XNNPACK": 693.7e6, "ncnn": 233.1e6},
        "cortex-a72": {"XNNPACK": 578.4e6, "ncnn": 233.1e6},
        "cortex-a76": {"XNNPACK": 171.5e6, "ncnn": 159.6e6},
        "i8mm": {"XNNPACK": 129.1e6, "ncnn": 102.2e6},
    },
}


@dataclasses.dataclass
class Job:
    """One network on one CPU."""

    network: str
    model: Path
    cpu: str
    isa: str
    emulator: executed.Emulator
    program: executed.Program
    picture: Path

    def arguments(self, command, *more):
        """Of resi8-run."""
        return [command, self.model, "--isa", self.isa, "--threads", "1", "--picture", self.picture, *more]

    def inference(self):
        """Counts of one warm inference, and by how much a second one differs from it.

        `bench` compares the results with those of the conversion before its first timed run.
        """
        runs = [
            self.emulator.count(self.program, *self.arguments("bench", "--json", "--runs", "1", "--warmup", number))[1]
            for number in WARMUPS
        ]
        first, second = (executed.difference(more, less) for less, more in zip(runs, runs[1:]))
        deviation = sum(second.values()) - sum(first.values())
        if abs(deviation) > TOLERANCE * sum(first.values()):
            raise build.Failed(f"one inference took {sum(first.values())} instructions, the next {deviation} more")
        return first, deviation

    def macs(self):
        """Multiply-accumulates of one inference."""
        return json.loads(self.emulator.run(self.program, "info", self.model, "--json"))["macs"]


# --- Counting -------------------------------------------------------------------------------------------------------


def measure(job):
    """One line of the table as a dictionary, and the counts."""
    macs = job.macs()
    counts, deviation = job.inference()
    known = executed.disassemble({opcode for _, opcode in counts})
    found = executed.total(counts, known)
    rivals = RIVALS.get(job.network, {}).get(job.cpu, {})
    best = min(rivals, key=rivals.get, default=None)
    line = {
        "network": job.network,
        "cpu": job.cpu,
        "qemu_cpu": job.emulator.cpu,
        "isa": job.isa,
        "macs": macs,
        "instructions": found.instructions,
        "next_inference_differs_by": deviation,
        "kinds": {kind: found.kinds[kind] for kind in executed.KINDS},
        "vector_registers_loaded": found.loaded_registers,
        "vector_bytes_loaded": found.loaded_bytes,
        "mnemonics": {kind: found.by_mnemonic(kind) for kind in executed.KINDS},
        "rivals": rivals,
        "best_rival": best,
        "ratio": found.instructions / rivals[best] if best else None,
    }
    return line, counts, known


def layers(job):
    """[(layer as resi8-run describes it, Sum)] of the last of three runs, and whether the one before was the same."""
    runs = 3
    described = json.loads(job.emulator.run(job.program, *job.arguments("profile", "--runs", "1", "--json")))
    laps, _ = job.emulator.count(job.program, *job.arguments("profile", "--runs", runs, "--json"), laps=True)
    # One reading of the clock when the stopwatch is made, then one before and one after every layer.
    if len(laps) != 1 + 2 * runs * len(described):
        raise build.Failed(f"{len(laps)} clock readings for {len(described)} layers: no --layers with this QEMU")
    laps = laps[2::2]
    known = executed.disassemble({opcode for lap in laps for _, opcode in lap})
    last, before = laps[-len(described) :], laps[-2 * len(described) : -len(described)]
    same = all(sum(a.values()) == sum(b.values()) for a, b in zip(last, before))
    return [(layer, executed.total(lap, known)) for layer, lap in zip(described, last)], same


# --- What is printed ------------------------------------------------------------------------------------------------


def ratio(dividend, divisor, digits=3):
    """A quotient, or nothing."""
    return f"{dividend / divisor:.{digits}f}" if divisor else ""


def results(lines):
    """The table of all networks and CPUs."""
    headings = ["network", "CPU", "instruction set", "best rival", "its M", "M instructions", "ratio", "per MAC"]
    headings += ["M loads", "M vector loads", "M registers loaded", "M multiplies", "vector loads / multiply"]
    rows = []
    for line in lines:
        kinds, best = line["kinds"], line["best_rival"]
        vector, multiplies = kinds["vector loads"], kinds["vector multiplies"]
        theirs = record.millions(line["rivals"][best]) if best else ""
        row = [line["network"], line["cpu"], line["isa"], best or "", theirs, record.millions(line["instructions"])]
        row += [f"{line['ratio']:.3f}" if best else "", ratio(line["instructions"], line["macs"])]
        loads = (vector + kinds["other loads"], vector, line["vector_registers_loaded"])
        row += map(record.millions, (*loads, multiplies))
        rows.append([*row, ratio(vector, multiplies)])
    return record.table(headings, rows, 4)


def classes(lines):
    """The table of classes, and the mnemonics of multiplies and vector loads."""
    name = lambda line: f"{line['network']}, {line['cpu']}, {line['isa']}"
    rows = [[name(line), *(record.millions(line["kinds"][kind]) for kind in executed.KINDS)] for line in lines]
    yield record.table(["M instructions", *executed.KINDS], rows, 1)
    for line in lines:
        parts = []
        for kind in ("vector multiplies", "other vector", "vector loads"):
            mix = list(line["mnemonics"][kind].items())[:10]
            parts.append(f"{kind}: " + ", ".join(f"{mnemonic} {count}" for mnemonic, count in mix))
        yield f"{name(line)}: {'; '.join(parts)}."


def sums(found, macs):
    """The columns of a profile that describe a `Sum`."""
    kinds = [found.kinds[kind] for kind in ("vector loads", "other loads", "vector multiplies")]
    return [found.instructions, ratio(found.instructions, macs), *kinds]


SUMS = ["instructions", "per MAC", "vector loads", "other loads", "multiplies"]


def function_table(functions, macs, top):
    """Where the instructions are."""
    everything = sum(found.instructions for _, found in functions)
    rows = []
    for name, found in functions[:top]:
        loads = ratio(found.kinds["vector loads"], found.kinds["vector multiplies"])
        rows.append([name[:110], f"{found.instructions / everything:.1%}", *sums(found, macs), loads])
    return record.table(["function", "share", *SUMS, "vector loads / multiply"], rows, 1)


def layer_table(described):
    """What every layer takes."""
    rows = []
    for layer, found in described:
        size = "x".join(map(str, layer["output"]))
        rows.append([layer["layer"], layer["name"], layer["kind"], size, layer["macs"], *sums(found, layer["macs"])])
    return record.table(["", "layer", "kind", "output", "MACs", *SUMS], rows, 4)


def annotated(pattern, counts, program):
    """The executed instructions of the functions that match, with how often each is."""
    text = build.output([f"{build.TOOLS}objdump", "--disassemble", "--demangle", "--no-show-raw-insn", program.path])
    by_address = collections.Counter()
    for (address, _), count in counts.items():
        by_address[address] += count
    shown = False
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+ <(.*)>:$", line)
        if head:
            shown = bool(re.search(pattern, executed.tidy(head[1])))
            if shown:
                yield f"\n{executed.tidy(head[1])}"
            continue
        found = re.match(r"\s+([0-9a-f]+):\s", line)
        count = by_address[int(found[1], 16)] if found else 0
        if shown and count:
            yield f"{count:>12} {executed.tidy(line)}"


def markdown(values):
    """The whole record."""
    deviation = max(abs(line["next_inference_differs_by"]) for line in values["lines"])
    conditions = [
        f"- {values['date']}, resi8 at {values['commit']}, {values['rustc']}, {values['qemu']}",
        "- one warm inference, one thread, raw pixels to logits; results were compared with those of the conversion",
        f"- the next inference differs by {deviation} instructions at most",
        "- rivals, counted in the same way: LiteRT 2.3.0 with XNNPACK, ncnn a4d2ea1d; below 1, resi8 executes fewer",
        "- instructions are not time",
    ]
    parts = [
        f"# Executed instructions on ARM, {values['date']}",
        "\n".join(conditions),
        results(values["lines"]),
        "## By class",
    ]
    parts += classes(values["lines"])
    parts.append("What is counted: [benches/arm](../arm/README.md).")
    return "\n\n".join(parts) + "\n"


# --- The command ----------------------------------------------------------------------------------------------------


def parse():
    """The command line."""
    text = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        description=text[0], epilog=text[1], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "networks", nargs="*", metavar="NAME=FILE", help="models (default: resnet8 of the runtime's tests)"
    )
    parser.add_argument("--cpus", default=",".join(CPUS), metavar="NAMES", help="any of %(default)s")
    parser.add_argument("--isa", metavar="NAME", help="instruction set on all of them (default: the one made for each)")
    parser.add_argument("--picture", type=Path, default=PICTURE, metavar="FILE", help="input (default: a small photo)")
    parser.add_argument("--profile", action="store_true", help="show the functions with the most instructions")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="how many functions (default: %(default)s)")
    parser.add_argument("--layers", action="store_true", help="show every layer")
    parser.add_argument("--annotate", metavar="REGEX", help="show the executed instructions of these functions")
    parser.add_argument("--limit", type=float, metavar="RATIO", help="fail if a ratio to the best rival is above this")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    build.add_arguments(parser, "a resi8-run for AArch64 with symbols")
    parser.add_argument(
        "--qemu", default="qemu-aarch64", metavar="FILE", help="one with plugins (default: %(default)s)"
    )
    args = parser.parse_args()
    check(parser, args)
    return args


def check(parser, args):
    """Completes the arguments, and refuses wrong ones."""
    build.check_arguments(parser, args)
    args.networks = [tuple(text.partition("=")[::2]) for text in args.networks] or [("resnet8", NETWORK)]
    args.cpus = args.cpus.split(",")
    if unknown := set(args.cpus) - set(CPUS):
        parser.error(f"there is no CPU {sorted(unknown)[0]}; there are: {', '.join(CPUS)}")
    for name, file in args.networks:
        if not Path(file).is_file():
            parser.error(f"{name}: no file '{file}'; write NAME=FILE")
    if not args.picture.is_file():
        parser.error(f"no picture {args.picture}")
    if args.json and (args.profile or args.layers or args.annotate):
        parser.error("--json prints the counts; --profile, --layers and --annotate are tables")
    if not shutil.which(args.qemu):
        parser.error(f"there is no {args.qemu}; in Debian it is in the package qemu-user")


def jobs(args, program, plugin):
    """Every network on every CPU."""
    for network, model in args.networks:
        for name in args.cpus:
            cpu = CPUS[name]
            emulator = executed.Emulator(args.qemu, plugin, cpu.model)
            files = {"model": Path(model).resolve(), "picture": args.picture.resolve()}
            yield Job(network=network, cpu=name, isa=args.isa or cpu.isa, emulator=emulator, program=program, **files)


def details(args, job, line, counts, known):
    """Prints what was asked for of one job."""
    title = f"\n## {job.network}, {job.cpu}, {job.isa}: "
    if args.profile:
        functions = executed.by_function(counts, known, job.program)
        print(title + "functions\n\n" + function_table(functions, line["macs"], args.top), flush=True)
    if args.layers:
        described, same = layers(job)
        note = "" if same else " (the run before differs)"
        print(title + f"layers{note}\n\n" + layer_table(described), flush=True)
    if args.annotate:
        print(title + "instructions", *annotated(args.annotate, counts, job.program), sep="\n", flush=True)


def main():
    """Runs the command."""
    args = parse()
    if args.json:
        sys.stdout, printed = sys.stderr, sys.stdout
    program, plugin = executed.Program(build.program(args)), build.plugin()
    lines = []
    for job in jobs(args, program, plugin):
        line, counts, known = measure(job)
        lines.append(line)
        print(f"{job.network}, {job.cpu}, {job.isa}: {line['instructions']} instructions", flush=True)
        details(args, job, line, counts, known)
    values = {
        **record.origin(args),
        "qemu": build.output([args.qemu, "--version"]).splitlines()[0],
        "lines": lines,
    }
    print("\n" + results(lines))
    if args.json:
        print(json.dumps(values, indent=1), file=printed)
    if args.record:
        print(f"\nwritten: {record.write('arm-instructions', values, markdown(values))}")
    return judge(lines, args.limit)


def judge(lines, limit):
    """The exit code."""
    above = [line for line in lines if limit is not None and line["ratio"] is not None and line["ratio"] > limit]
    for line in above:
        text = f"{line['network']}, {line['cpu']}: {line['ratio']:.3f} of {line['best_rival']}, above {limit}"
        print(text, file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    build.start(main)
