"""Tables, and the record of a session."""
import array
import datetime
import json
import math
import os
import platform
import re
import subprocess
from pathlib import Path

import install
import measure

FLAGS_OF_INTEREST = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
COLUMNS = (
    "runtime",
    "median ms",
    "fastest ms",
    "resi8 / it (lowest .. highest round)",
    "load to first ms",
    "peak RSS MiB",
    "model MiB",
    "logit SQNR dB",
)


# --- What is computed -----------------------------------------------------------------------------------------------


def sqnr_db(reference, values):
    """Signal to noise of logits against the float network's, over all pictures; two files of f32."""
    pairs = []
    for path in (reference, values):
        numbers = array.array("f")
        numbers.frombytes(Path(path).read_bytes())
        pairs.append(numbers)
    if len(pairs[0]) != len(pairs[1]):
        return None
    signal = sum(value * value for value in pairs[0])
    noise = sum((a - b) ** 2 for a, b in zip(*pairs))
    return 10 * math.log10(signal / noise) if noise else math.inf


def summary(name, samples, ours, version, model_bytes, sqnr):
    """One line of a table as a dictionary. `ours` are resi8's samples of the same rounds."""
    common = [number for number in samples if number in ours and samples is not ours]
    ratios = [ours[number].latency_ms_median / samples[number].latency_ms_median for number in common]
    values = list(samples.values())
    return {
        "runtime": name,
        "version": version,
        "round_medians_ms": [sample.latency_ms_median for sample in values],
        "median_ms": measure.median(sample.latency_ms_median for sample in values),
        "fastest_ms": min(sample.latency_ms_min for sample in values),
        "round_ratios": ratios,
        "ratio": measure.median(ratios),
        "load_to_first_ms": measure.median(sample.start_ms() for sample in values),
        "peak_rss_mib": measure.median(sample.peak_rss_mib for sample in values),
        "model_mib": model_bytes / 2**20,
        "logit_sqnr_db": sqnr,
        "most_waited": max(sample.waited for sample in values),
    }


def git(*arguments):
    """What git says, or nothing outside of a repository."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=install.ROOT, check=False)
    return done.stdout.strip()


def machine():
    """The CPU and the system."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    field = lambda name: (re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE) or ["", ""])[1].strip()
    flags = (field("flags") or field("Features")).split()
    return {
        "cpu": field("model name") or platform.machine(),
        "family": field("cpu family"),
        "model": field("model"),
        "flags": [flag for flag in FLAGS_OF_INTEREST if flag in flags],
        "missing_flags": [flag for flag in FLAGS_OF_INTEREST[:5] if flag not in flags],
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit():
    """The commit that was measured, and whether there were changes on top."""
    changed = " with local changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return git("rev-parse", "--short=12", "HEAD") + changed


# --- What is printed ------------------------------------------------------------------------------------------------


def number(value):
    """Three significant digits or more, nothing for nothing."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def row(line):
    """One line of a table as text."""
    ratio = ""
    if line["ratio"] is not None:
        ratio = f"{line['ratio']:.2f} ({min(line['round_ratios']):.2f} .. {max(line['round_ratios']):.2f})"
    figures = [line["median_ms"], line["fastest_ms"]]
    rest = [line["load_to_first_ms"], line["peak_rss_mib"], line["model_mib"], line["logit_sqnr_db"]]
    name = f"{line['runtime']} {line['version']}".strip()
    return [name, *map(number, figures), ratio, *map(number, rest)]


def table(lines):
    """A Markdown table, fastest first."""
    rows = [COLUMNS, ["---"] + ["---:"] * (len(COLUMNS) - 1)]
    rows += [row(line) for line in sorted(lines, key=lambda line: line["median_ms"])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def conditions(record):
    """How it was measured, as a list."""
    cpu, run = record["machine"], record["run"]
    if run["load_before"] > 1 or run["most_waited"] > measure.WAITED_LIMIT:
        yield "- **The machine was busy.** Medians and ratios are rough; the fastest runs are the better guide."
    yield f"- CPU: {cpu['cpu']} (family {cpu['family']}, model {cpu['model']}), {cpu['cores']} cores"
    yield f"- instruction sets: {' '.join(cpu['flags'])}; not there: {' '.join(cpu['missing_flags'])}"
    yield f"- {record['date']}, Linux {cpu['kernel']}, Python {cpu['python']}, resi8 at {record['commit']}"
    yield f"- {run['threads']} thread(s) on cpu {run['cpus']}, {run['rounds']} rounds, rivals in turn within each"
    yield f"- load average {run['load_before']:.2f} before and {run['load_after']:.2f} after"
    yield f"- waiting for other processes took {run['most_waited']:.1%} of a measurement at most"
    if run["restrain"]:
        yield f"- rivals restrained to {run['restrain']}"


def markdown(record):
    """The whole record."""
    parts = [f"# Rivals, {record['date']}, {record['machine']['cpu']}", "\n".join(conditions(record))]
    for network in record["networks"]:
        parts += [f"## {network['name']}, weights {network['weights']}", table(network["lines"])]
    if record["failures"]:
        parts += ["## Not measured", "\n".join(f"- {what}: {why}" for what, why in record["failures"].items())]
    parts.append("What the columns mean and what is comparable: [benches/rivals](../rivals/README.md).")
    return "\n\n".join(parts) + "\n"


def write(record, folder):
    """Writes the record as Markdown and JSON; returns the path of the former."""
    cpu = record["machine"]
    words = [cpu["cpu"], "family", cpu["family"], "model", cpu["model"], "rivals", f"{record['run']['threads']}t"]
    name = " ".join([*words, record["run"]["restrain"] or ""]).lower()
    stem = record["date"] + "-" + re.sub(r"[^a-z0-9]+", "-", name).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / f"{stem}.md").write_text(markdown(record))
    return folder / f"{stem}.md"


def today():
    """The date, for the record."""
    return datetime.date.today().isoformat()
