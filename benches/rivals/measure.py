"""Measurements: every one a fresh process on its own cores, rivals in turn within a round."""
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

TIMEOUT_SECONDS = 600
POLL_SECONDS = 0.02
# A measurement that waited for other processes more than this share of its time is made again, at most twice.
WAITED_LIMIT, ATTEMPTS = 0.05, 3


class Failed(Exception):
    """A command that failed, with the last thing it said."""


@dataclasses.dataclass
class Sample:
    """One measurement. `load_ms` and `first_ms` are None for a program that does not report them."""

    latency_ms_median: float
    latency_ms_min: float
    runs: int
    load_ms: float | None
    first_ms: float | None
    peak_rss_mib: float
    waited: float

    def start_ms(self):
        """From a file to a first result."""
        return None if self.load_ms is None or self.first_ms is None else self.load_ms + self.first_ms


class Watch:
    """What the kernel knows of a process, read while it runs."""

    def __init__(self, pid):
        self.folder = Path(f"/proc/{pid}")
        self.start = time.monotonic()
        self.peak_kib, self.waited_ns, self.seconds = 0, 0, 1e-9

    def look(self):
        """Reads once; a process that has just ended changes nothing."""
        try:
            status = (self.folder / "status").read_text(encoding="ascii")
            waited = int((self.folder / "schedstat").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError):
            return
        peak = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
        if peak:
            self.peak_kib, self.waited_ns, self.seconds = peak[0], waited, time.monotonic() - self.start


def prepare_process(cpus):
    """Runs in a new process: pins it, and puts it before all others where that is allowed."""
    os.sched_setaffinity(0, cpus)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        # Linux shares a core fairly among sessions first, whatever the priorities within each.
        Path("/proc/self/autogroup").write_text("-20", encoding="ascii")


def keep_off(cpus):
    """Moves this process to the other cores, if there are any."""
    others = os.sched_getaffinity(0) - set(cpus)
    if others:
        os.sched_setaffinity(0, others)


def run(command, cpus, environment):
    """Runs a measuring program once and reads its line of JSON."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
        preexec_fn=lambda: prepare_process(cpus),
    )
    watch, deadline = Watch(process.pid), time.monotonic() + TIMEOUT_SECONDS
    # A program says little, so its pipes do not fill while nobody reads them.
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
        watch.look()
        time.sleep(POLL_SECONDS)
    output, errors = process.communicate()
    if process.returncode:
        raise Failed(last_line(errors) or f"exit code {process.returncode}")
    return sample(output, watch)


def sample(output, watch):
    """Makes a sample of a program's output."""
    lines = output[output.find("{") :]
    try:
        values = json.JSONDecoder().raw_decode(lines)[0]
    except ValueError as error:
        raise Failed("printed no JSON") from error
    return Sample(
        values["latency_ms_median"],
        values["latency_ms_min"],
        values["runs"],
        values.get("load_ms"),
        values.get("first_ms"),
        watch.peak_kib / 1024,
        watch.waited_ns / 1e9 / watch.seconds,
    )


def last_line(text):
    """The last line that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def undisturbed(command, cpus, environment):
    """Runs until other processes took little of the time; the best attempt otherwise."""
    best = None
    for _ in range(ATTEMPTS):
        attempt = run(command, cpus, environment)
        if best is None or attempt.waited < best.waited:
            best = attempt
        if best.waited <= WAITED_LIMIT:
            break
    return best


def rounds(count, networks, jobs, cpus, environment, failures):
    """Measures: {(network, name): {round: Sample}}. `jobs` maps (network, name) to a command for a round.

    What fails goes to `failures` and is not tried again.
    """
    samples = {}
    for number in range(count):
        for network in networks:
            for key in [key for key in jobs if key[0] == network and key not in failures]:
                try:
                    result = undisturbed(jobs[key](number), cpus, environment)
                except (Failed, OSError) as error:
                    failures[key] = str(error)
                    print(f"  round {number + 1} {' '.join(key)}: FAILED, {error}", flush=True)
                    continue
                samples.setdefault(key, {})[number] = result
                disturbed = f" (waited {result.waited:.0%})" if result.waited > WAITED_LIMIT else ""
                print(f"  round {number + 1} {' '.join(key)}: {result.latency_ms_median:.4g} ms{disturbed}", flush=True)
    return samples


def median(values):
    """The median of what is known, or None."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
