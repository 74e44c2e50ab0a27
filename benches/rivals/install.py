"""Environments and programs: Python packages by name and version, Rust programs by cargo."""
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RIVALS = TARGET / "rivals"


def run(command, log):
    """Runs a command with its output in a log file; an error names the last line of it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "RESI8": str(TARGET / "release/resi8"), "PYTHONWARNINGS": "ignore"}
    command = [str(part) for part in command]
    with open(log, "w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise RuntimeError(f"{(lines or ['no output'])[-1][:300]} (see {log.relative_to(TARGET.parent)})")


def python(environment):
    """The interpreter of an environment."""
    return RIVALS / environment / "bin/python"


def packages(environment, requirements):
    """Installs a requirements file into an environment, once."""
    source = HERE / "requirements" / f"{requirements}.txt"
    done = RIVALS / environment / f"installed-{requirements}.txt"
    if done.is_file() and done.read_text() == source.read_text():
        return
    print(f"installing {requirements} into {environment} ...", flush=True)
    if not python(environment).exists():
        run([sys.executable, "-m", "venv", RIVALS / environment], RIVALS / "logs" / f"venv-{environment}.log")
    pip = [python(environment), "-m", "pip", "install", "--quiet", "--requirement", source]
    run(pip, RIVALS / "logs" / f"pip-{requirements}.log")
    done.write_text(source.read_text())


def rust_rivals():
    """Builds the rivals written in Rust."""
    manifest = HERE / "rust/Cargo.toml"
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", RIVALS / "cargo"]
    run(command, RIVALS / "logs/cargo-rivals.log")


def resi8():
    """Builds the converter, and the runtime's program as it ships."""
    build = ["cargo", "build", "--locked", "--manifest-path", ROOT / "Cargo.toml", "--target-dir", TARGET]
    run([*build, "--release", "-p", "resi8-converter"], RIVALS / "logs/cargo-converter.log")
    run([*build, "--profile", "dist", "-p", "resi8-run"], RIVALS / "logs/cargo-runtime.log")


def versions():
    """Pinned version of every package and crate."""
    pins = {}
    for path in (HERE / "requirements").glob("*.txt"):
        pins |= dict(re.findall(r"^([\w-]+)==(\S+)$", path.read_text(), re.MULTILINE))
    manifest = (HERE / "rust/Cargo.toml").read_text()
    pins["tract"] = re.search(r'tract-onnx = "=([\d.]+)"', manifest)[1]
    pins["rten"] = re.search(r'rten = "=([\d.]+)"', manifest)[1]
    return pins


# --- Restrained ------------------------------------------------------------------------------------------------------

RESTRAINED = RIVALS / "restrained"
# What rivals can be restrained to, by the instruction set of resi8 that stands for it; how mask_cpuid.c is compiled for that.
MASKS = {"avx2": ["-DHIDE_AVX512"], "avx512-vnni": []}


def rust_program(name, restrain):
    """The measuring program of a rival in Rust, or its restrained copy."""
    folder = RESTRAINED / "rust" if restrain else RIVALS / "cargo/release"
    return folder / f"rival-{name}"


def restrained(restrain):
    """Copies the rivals and masks the instruction sets beyond that one in the copies."""
    packages("python", "restrain")
    run([python("python"), HERE / "restrain.py", RIVALS, RESTRAINED], RIVALS / "logs/restrain.log")
    mask = ["cc", "-O2", "-shared", "-fPIC", *MASKS[restrain], "-o", RESTRAINED / f"{restrain}.so", HERE / "mask_cpuid.c"]
    run(mask, RIVALS / "logs/mask.log")


def restrained_environment(restrain):
    """Variables with which the copies run."""
    paths = f"{RESTRAINED / 'python'}:{RESTRAINED / 'litert'}"
    return {"LD_PRELOAD": str(RESTRAINED / f"{restrain}.so"), "PYTHONPATH": paths}
