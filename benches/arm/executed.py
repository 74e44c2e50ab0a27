"""What a program executes under QEMU: counts by instruction, and what each instruction is."""

import bisect
import collections
import dataclasses
import re
import tempfile
from pathlib import Path

import build

SYSROOT = Path("/usr/aarch64-linux-gnu")
# Reading the clock is this system call in QEMU before 8.2. `resi8-run profile` reads it before and after each layer.
CLOCK_GETTIME = 113
OUTSIDE = "(shared libraries)"


# --- What an instruction is -----------------------------------------------------------------------------------------

LOAD = re.compile(r"ld(?!g)")
STORE = re.compile(r"st(?!g)|cas|swp")
BRANCH = re.compile(r"(b|bl|br|blr|ret|cbn?z|tbn?z|b\..*)$")
VECTOR = re.compile(r"\{?\s*[vqdshb]\d")
# Of integers; `mul` and `smull` of general registers are told apart by their operands.
MULTIPLY = re.compile(
    r"([su]ml[as]l2?|[su]mull2?|(su|us|s|u)dot|(us|s|u)mmla|mul|ml[as]|sqr?d?mul.*|sqrdml.*|sqdml.*|pmull?2?)$"
)
BYTES = {"q": 16, "d": 8, "s": 4, "h": 2, "b": 1}


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A disassembled instruction."""

    mnemonic: str
    operands: str

    def kind(self):
        """Its class, one of `KINDS`."""
        vector = VECTOR.match(self.operands)
        if LOAD.match(self.mnemonic):
            return "vector loads" if vector else "other loads"
        if STORE.match(self.mnemonic):
            return "vector stores" if vector else "other stores"
        if BRANCH.match(self.mnemonic):
            return "branches"
        if vector:
            return "vector multiplies" if MULTIPLY.match(self.mnemonic) else "other vector"
        return "rest"

    def loaded(self):
        """Registers and bytes that a vector load loads: (4, 64) for `ld1 {v0.16b-v3.16b}`, (2, 32) for `ldp q0, q1`."""
        if not self.operands.startswith("{"):
            registers = 2 if self.mnemonic in ("ldp", "ldnp") else 1
            return registers, registers * BYTES[self.operands[0]]
        text, _, rest = self.operands[1:].partition("}")
        numbers = [int(number) for number in re.findall(r"v(\d+)", text)]
        registers = (numbers[-1] - numbers[0]) % 32 + 1 if "-" in text else len(numbers)
        lanes, element = re.search(r"\.(\d*)([bhsd])", text).groups()
        single = rest.startswith("[") or self.mnemonic.endswith("r")
        return registers, registers * BYTES[element] * (1 if single or not lanes else int(lanes))


KINDS = (
    "vector loads",
    "other loads",
    "vector stores",
    "other stores",
    "vector multiplies",
    "other vector",
    "branches",
    "rest",
)


def disassemble(opcodes):
    """{opcode: Instruction}. Targets of branches are meaningless, since the instructions have no place."""
    opcodes = sorted(opcodes)
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(b"".join(opcode.to_bytes(4, "little") for opcode in opcodes))
        file.flush()
        command = [
            f"{build.TOOLS}objdump",
            "--disassemble-all",
            "--disassemble-zeroes",
            "-b",
            "binary",
            "-m",
            "aarch64",
        ]
        text = build.output([*command, file.name])
    lines = re.findall(r"^\s*[0-9a-f]+:\t([0-9a-f]{8})[ \t]*\t(\S+)[ \t]*([^\n]*)$", text, re.MULTILINE)
    return {int(opcode, 16): Instruction(mnemonic, operands) for opcode, mnemonic, operands in lines}


# --- A program and its symbols --------------------------------------------------------------------------------------


class Program:
    """An AArch64 program with symbols."""

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.is_file():
            raise build.Failed(f"there is no program {path}")
        segments = build.output([f"{build.TOOLS}readelf", "-lW", self.path])
        # The first address that the file itself gives to code; QEMU says where it was loaded.
        found = re.findall(r"LOAD\s+\S+\s+(0x[0-9a-f]+)\s.* R ?W?E\s", segments)
        if not found:
            raise build.Failed(f"{path} has no code for AArch64")
        self.start = min(int(address, 16) for address in found)
        symbols = build.output([f"{build.TOOLS}nm", "--defined-only", "--numeric-sort", "--demangle", self.path])
        parts = (line.split(" ", 2) for line in symbols.splitlines())
        functions = [
            (int(address, 16), tidy(name)) for address, kind, name in parts if kind in "tTwWi" and name[0] != "$"
        ]
        if len(functions) < 10:
            raise build.Failed(
                f"{path} has no symbols: build it with CARGO_PROFILE_DIST_STRIP=none, or leave --binary out"
            )
        self.addresses = [address for address, _ in functions]
        self.names = [name for _, name in functions]

    def function(self, address):
        """The name of the function that an address of the file is in."""
        if address is None:
            return OUTSIDE
        return self.names[max(bisect.bisect_right(self.addresses, address) - 1, 0)]


def tidy(name):
    """A demangled name without the hashes of crates."""
    return re.sub(r"\[[0-9a-f]{8,16}\]|::h[0-9a-f]{16}$", "", name)


# --- Running --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Emulator:
    """QEMU in user mode, as one CPU."""

    qemu: str
    plugin: Path
    cpu: str

    def command(self, program, arguments, plugin=()):
        """A command line."""
        sysroot = ["-L", SYSROOT] if SYSROOT.is_dir() else []
        return [self.qemu, *sysroot, "-cpu", self.cpu, *plugin, program.path, *arguments]

    def run(self, program, *arguments):
        """What the program prints, without counting."""
        return build.output(self.command(program, arguments))

    def count(self, program, *arguments, laps=False):
        """Runs and counts: ([counts of a lap], counts of the whole run), each {(address or None, opcode): count}."""
        with tempfile.NamedTemporaryFile(suffix=".txt") as file:
            options = f"{self.plugin},out={file.name}" + (f",laps={CLOCK_GETTIME}" if laps else "")
            build.output(self.command(program, arguments, ["-plugin", options]))
            with open(file.name, encoding="ascii") as lines:
                return read_counts(lines, program)


def read_counts(lines, program):
    """Reads what the plugin wrote, with addresses as in the program's file, and None outside of it."""
    blocks, code = [], None
    for line in lines:
        words = line.split()
        if len(words) == 1:
            blocks.append([])
        elif words[0] == "code":
            code = range(int(words[1], 16), int(words[2], 16))
        else:
            blocks[-1].append((int(words[0], 16), int(words[1], 16), int(words[2])))
    if code is None:
        raise build.Failed(
            "QEMU wrote no counts: -plugin needs a QEMU with plugins (in Debian qemu-user, not the static one)"
        )
    counts = []
    for block in blocks:
        counts.append(collections.Counter())
        for address, opcode, count in block:
            counts[-1][(address - code.start + program.start if address in code else None, opcode)] += count
    return counts[:-1], counts[-1]


def difference(more, less):
    """Counts of one run without those of another; what is equal is left out."""
    keys = more.keys() | less.keys()
    return {key: more[key] - less[key] for key in keys if more[key] != less[key]}


# --- Adding up ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Sum:
    """Instructions by class, and what of them matters for kernels."""

    instructions: int = 0
    kinds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    mnemonics: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    loaded_registers: int = 0
    loaded_bytes: int = 0

    def add(self, instruction, count):
        """Adds an instruction that was executed that often."""
        kind = instruction.kind()
        self.instructions += count
        self.kinds[kind] += count
        self.mnemonics[(kind, instruction.mnemonic)] += count
        if kind == "vector loads":
            registers, size = instruction.loaded()
            self.loaded_registers += count * registers
            self.loaded_bytes += count * size

    def by_mnemonic(self, kind):
        """{mnemonic: count} of a class, most first."""
        return {name: count for (of, name), count in self.mnemonics.most_common() if of == kind and count}


def total(counts, known):
    """Adds up counts; `known` are the disassembled opcodes."""
    result = Sum()
    for (_, opcode), count in counts.items():
        result.add(known[opcode], count)
    return result


def by_function(counts, known, program):
    """[(function, Sum)], most instructions first."""
    sums = collections.defaultdict(Sum)
    for (address, opcode), count in counts.items():
        sums[program.function(address)].add(known[opcode], count)
    return sorted(sums.items(), key=lambda item: -item[1].instructions)
