#!/usr/bin/env python3
"""Copies the installed rivals and replaces every `cpuid` instruction of the copies by `int3; nop`.

    restrain.py target/rivals target/rivals/restrained

With the library of mask_cpuid.c preloaded, the copies see a CPU without AMX, or without AVX-512 and VNNI: most rivals have no switch
for that.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import capstone

PACKAGES = {"python": ("onnxruntime", "openvino", "ncnn", "ncnn.libs"), "litert": ("ai_edge_litert",)}
CPUID, TRAP = b"\x0f\xa2", b"\xcc\x90"
SECTION = re.compile(r"\]\s+\S+\s+PROGBITS\s+[0-9a-f]+\s+([0-9a-f]+)\s+([0-9a-f]+)\s+[0-9a-f]+\s.*\sAX\s")
# The two bytes may be part of another instruction. Decoding starts at several places before them: x86 code falls into
# step within a few instructions, so nearly all starts agree on what is real.
STARTS, VOTES = (411, 380, 333, 290, 257, 211, 173, 140), 7


def code_sections(path):
    """(offset, size) of the sections with code."""
    listing = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, check=False).stdout
    return [(int(match[1], 16), int(match[2], 16)) for match in map(SECTION.search, listing.splitlines()) if match]


def is_cpuid(decoder, code, at):
    """Whether a `cpuid` instruction starts there."""
    votes = 0
    for back in STARTS:
        start = max(0, at - back)
        decoded = decoder.disasm(code[start : at + 16], start)
        votes += any(instruction.address == at and instruction.mnemonic == "cpuid" for instruction in decoded)
    return votes >= VOTES


def mask(path, decoder):
    """Masks one program or library in place; returns how many instructions were replaced."""
    data = bytearray(path.read_bytes())
    count = 0
    for offset, size in code_sections(path):
        code = bytes(data[offset : offset + size])
        for match in re.finditer(CPUID, code):
            if is_cpuid(decoder, code, match.start()):
                data[offset + match.start() : offset + match.start() + 2] = TRAP
                count += 1
    path.write_bytes(data)
    return count


def copy(rivals, target):
    """Copies what is installed."""
    shutil.rmtree(target, ignore_errors=True)
    for environment, packages in PACKAGES.items():
        for folder in rivals.glob(f"{environment}/lib/python*/site-packages"):
            for package in packages:
                if (folder / package).is_dir():
                    shutil.copytree(folder / package, target / environment / package)
    for program in rivals.glob("cargo/release/rival-*"):
        if not program.suffix:
            (target / "rust").mkdir(parents=True, exist_ok=True)
            shutil.copy(program, target / "rust")


def main():
    """Command line."""
    rivals, target = map(Path, sys.argv[1:])
    copy(rivals, target)
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.skipdata = True
    for path in sorted(target.rglob("*")):
        if path.is_file() and path.open("rb").read(4) == b"\x7fELF":
            print(path.relative_to(target), mask(path, decoder), "instructions")


if __name__ == "__main__":
    main()
