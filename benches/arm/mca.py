#!/usr/bin/env python3
"""How near the inner loops of the ARM microkernels are to what the multiply pipes allow, by LLVM's models of the CPUs.

    benches/arm/mca.py                                        all kernels that multiply, each on its CPUs
    benches/arm/mca.py --cpus cortex-a72 --show               with the instructions of the loops
    benches/arm/mca.py --cpus cortex-a76 --function 'conv'    only functions whose names match
    benches/arm/mca.py --binary kernel.o --function dot       any AArch64 program or object with symbols
    benches/arm/mca.py --limit 0.85                           fail if a loop for A72 or A76 reaches less

Builds resi8-run for AArch64 Linux first; --binary takes one that is there. Of every function, the innermost loop with
the most multiply-accumulates is taken. The README beside this file says what the figures are worth.
Exit code: 0 done, 1 failed or below --limit, 2 wrong arguments.
"""

import argparse
import dataclasses
import json
import re
import shutil
import sys
import tempfile

import build
import executed
import record

# Cycles of an iteration are those between this many iterations and twice as many, so that the start does not count.
ITERATIONS = 200
WIDE = re.compile(r"[su]ml[as]l2?|[su]mull2?")
PLAIN = re.compile(r"mul|ml[as]")
# Of one 32-bit result.
PER_RESULT = {"dot": 4, "mmla": 8}


@dataclasses.dataclass(frozen=True)
class Cpu:
    """LLVM's model of a CPU, the functions that are for it, and whether `--limit` holds there."""

    model: str
    functions: str
    required: bool


# LLVM gives cortex-a72 the model of cortex-a57, as it should, but cortex-a76 too, which has dot products and twice the
# pipes: neoverse-n1 is the same core. neoverse-n2 stands for those with i8mm.
CPUS = {
    "cortex-a53": Cpu("cortex-a53", r"^resi8::.*\bneon::.*(conv|multiply)", False),
    "cortex-a72": Cpu("cortex-a72", r"^resi8::.*\bneon::.*(conv|multiply)", True),
    "cortex-a76": Cpu("neoverse-n1", r"^resi8::.*\bneon_dotprod::.*(conv|multiply)", True),
    "i8mm": Cpu("neoverse-n2", r"^resi8::.*\bneon_i8mm::.*(conv|multiply)", False),
}


# --- Loops ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Line:
    """A disassembled instruction at its address; `target` is where it branches to, if it does."""

    address: int
    instruction: executed.Instruction
    target: int | None

    def macs(self):
        """Multiply-accumulates, 0 for what is no multiplication of vectors of integers."""
        mnemonic, operands = self.instruction.mnemonic, self.instruction.operands
        result = re.match(r"v\d+\.(\d+)([bhsd])", operands)
        if not result:
            return 0
        if WIDE.fullmatch(mnemonic) or PLAIN.fullmatch(mnemonic):
            return int(result[1])
        kind = re.fullmatch(r"(?:su|us|s|u)(dot|mmla)", mnemonic)
        return int(result[1]) * PER_RESULT[kind[1]] if kind else 0

    def assembly(self):
        """As llvm-mca reads it; all addresses become those of the loop's start, which changes nothing for it."""
        operands = re.sub(r"\s*//.*", "", self.instruction.operands)
        operands = re.sub(r"(?:0x)?[0-9a-f]+ <.*>$", "loop", operands)
        return f"{self.instruction.mnemonic}\t{operands}"


@dataclasses.dataclass(frozen=True)
class Loop:
    """Straight code from the target of a backward branch to that branch."""

    function: str
    lines: tuple

    def macs(self):
        """Of an iteration."""
        return sum(line.macs() for line in self.lines)

    def branches(self):
        """Other branches in it; the model takes none of them."""
        return sum(line.instruction.kind() == "branches" for line in self.lines[:-1])

    def span(self):
        """Where it is."""
        return f"{self.lines[0].address:x}..{self.lines[-1].address:x}"


def functions(path):
    """{name: [Line]} of a program or object."""
    text = build.output([f"{build.TOOLS}objdump", "--disassemble", "--demangle", "--no-show-raw-insn", path])
    found, lines = {}, []
    for line in text.splitlines():
        head = re.match(r"([0-9a-f]+) <(.*)>:$", line)
        if head:
            lines = found.setdefault(f"{executed.tidy(head[2])}", [])
        elif parts := re.match(r"\s+([0-9a-f]+):\s+(\S+)\s*(.*)", line):
            instruction = executed.Instruction(parts[2], parts[3])
            target = re.search(r"([0-9a-f]+) <", parts[3]) if instruction.kind() == "branches" else None
            lines.append(Line(int(parts[1], 16), instruction, int(target[1], 16) if target else None))
    return found


def innermost_loops(name, lines):
    """Loops that contain no other loop."""
    place = {line.address: index for index, line in enumerate(lines)}
    spans = set()
    for end, line in enumerate(lines):
        start = place.get(line.target)
        if start is not None and start <= end and line.instruction.mnemonic != "bl":
            spans.add((start, end))
    inside = lambda span: any(other != span and span[0] <= other[0] and other[1] <= span[1] for other in spans)
    return [Loop(name, tuple(lines[start : end + 1])) for start, end in sorted(spans) if not inside((start, end))]


def best_loops(listed, pattern, count):
    """Of every function that matches, the loops with the most multiply-accumulates."""
    result = []
    for name, lines in sorted(listed.items()):
        if re.search(pattern, name):
            loops = [loop for loop in innermost_loops(name, lines) if loop.macs()]
            result += sorted(loops, key=Loop.macs, reverse=True)[:count]
    return result


# --- The model ------------------------------------------------------------------------------------------------------


def model(mca, cpu, lines, iterations):
    """llvm-mca's summary of a number of iterations of these instructions."""
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write("loop:\n" + "".join(f"\t{line.assembly()}\n" for line in lines))
        file.flush()
        command = [
            mca,
            "-mtriple=aarch64",
            f"-mcpu={cpu}",
            "-mattr=+dotprod,+i8mm",
            f"-iterations={iterations}",
            "-json",
        ]
        text = build.output([*command, file.name])
    return json.loads(text[text.index("{") :])["CodeRegions"][0]["SummaryView"]


def measure(mca, name, loop):
    """One line of the table as a dictionary."""
    cpu = CPUS[name]
    once, twice = (model(mca, cpu.model, loop.lines, ITERATIONS * times) for times in (1, 2))
    multiplies = [line for line in loop.lines if line.macs()]
    cycles = (twice["TotalCycles"] - once["TotalCycles"]) / ITERATIONS
    bound = model(mca, cpu.model, multiplies, 1)["BlockRThroughput"]
    return {
        "cpu": name,
        "model": cpu.model,
        "function": loop.function,
        "addresses": loop.span(),
        "instructions": len(loop.lines),
        "inner_branches": loop.branches(),
        "multiplies": len(multiplies),
        "macs": loop.macs(),
        "cycles": cycles,
        "cycles_per_mac": cycles / loop.macs(),
        "multiply_bound": bound,
        "all_pipes_bound": once["BlockRThroughput"],
        "share": bound / cycles,
        "required": cpu.required,
    }


# --- What is printed ------------------------------------------------------------------------------------------------


def table(lines):
    """The table of all loops."""
    headings = ["CPU", "model", "function", "loop", "instructions", "multiplies", "MACs", "cycles", "cycles / MAC"]
    headings += ["multiply pipes alone", "reached", "all pipes"]
    rows = []
    for line in lines:
        loop = line["addresses"] + (f", {line['inner_branches']} branches inside" if line["inner_branches"] else "")
        row = [
            line["cpu"],
            line["model"],
            line["function"][:100],
            loop,
            line["instructions"],
            line["multiplies"],
            line["macs"],
        ]
        row += [f"{line['cycles']:.2f}", f"{line['cycles_per_mac']:.4f}", f"{line['multiply_bound']:.2f}"]
        rows.append([*row, f"{line['share']:.0%}", f"{line['all_pipes_bound']:.2f}"])
    return record.table(headings, rows, 4)


def markdown(values):
    """The whole record."""
    conditions = [
        f"- {values['date']}, resi8 at {values['commit']}, {values['rustc']}, {values['mca']}",
        "- one iteration of each function's innermost loop with the most multiplies; all loads hit the first cache",
        "- *reached*: the cycles that the multiplies alone would occupy their pipes, of the cycles of the loop",
        "- a model, not a measurement",
    ]
    parts = [f"# Inner loops on ARM by llvm-mca, {values['date']}", "\n".join(conditions), table(values["lines"])]
    parts.append("What is computed: [benches/arm](../arm/README.md).")
    return "\n\n".join(parts) + "\n"


# --- The command ----------------------------------------------------------------------------------------------------


def parse():
    """The command line."""
    text = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        description=text[0], epilog=text[1], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpus", default=",".join(CPUS), metavar="NAMES", help="any of %(default)s")
    parser.add_argument("--function", metavar="REGEX", help="functions to look at (default: those made for each CPU)")
    parser.add_argument("--loops", type=int, default=1, metavar="N", help="of each function (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="print the loops")
    parser.add_argument("--limit", type=float, metavar="SHARE", help="fail if a loop for A72 or A76 reaches less")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    build.add_arguments(parser, "an AArch64 program or object with symbols")
    parser.add_argument("--mca", default="llvm-mca-19", metavar="FILE", help="19 or newer (default: %(default)s)")
    args = parser.parse_args()
    args.cpus = args.cpus.split(",")
    if unknown := set(args.cpus) - set(CPUS):
        parser.error(f"there is no CPU {sorted(unknown)[0]}; there are: {', '.join(CPUS)}")
    build.check_arguments(parser, args)
    if not shutil.which(args.mca):
        parser.error(f"there is no {args.mca}; in Debian it is in the package llvm-19")
    return args


def main():
    """Runs the command."""
    args = parse()
    if args.json:
        sys.stdout, printed = sys.stderr, sys.stdout
    listed = functions(build.program(args))
    lines = []
    for name in args.cpus:
        pattern = args.function or CPUS[name].functions
        loops = best_loops(listed, pattern, args.loops)
        if not loops:
            raise build.Failed(
                f"no function that matches '{pattern}' has a loop with vector multiplies; see --function"
            )
        for loop in loops:
            lines.append(measure(args.mca, name, loop))
            if args.show:
                print(f"\n{name}: {loop.function}, {loop.span()}")
                print(*(f"    {line.assembly()}" for line in loop.lines), sep="\n")
    values = {
        **record.origin(args),
        "mca": build.output([args.mca, "--version"]).strip().splitlines()[0],
        "lines": lines,
    }
    print("\n" + table(lines))
    if args.json:
        print(json.dumps(values, indent=1), file=printed)
    if args.record:
        print(f"\nwritten: {record.write('arm-inner-loops', values, markdown(values))}")
    return judge(lines, args.limit)


def judge(lines, limit):
    """The exit code."""
    below = [line for line in lines if limit is not None and line["required"] and line["share"] < limit]
    for line in below:
        print(f"{line['cpu']}, {line['function']}: {line['share']:.1%}, below {limit:.0%}", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    build.start(main)
