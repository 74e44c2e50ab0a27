#!/usr/bin/env python3
"""Measures resi8 and its rivals on the same networks, on this machine, with one command.

    benches/rivals/rivals.py                                    everything, one thread
    benches/rivals/rivals.py --networks resnet18,resnet8 --rivals openvino,resi8 --rounds 9
    benches/rivals/rivals.py --threads 2 --cpus 0,1

Installs the rivals (by package name, below target/rivals), makes and quantizes the networks, measures in interleaved
rounds, prints a table per network and writes a record to benches/record. The README beside this file says what the
figures mean.
"""
import argparse
import dataclasses
import json
import os
import subprocess
from pathlib import Path

import install
import measure
import report

NETWORKS = ("resnet18", "resnet50", "resnet20", "resnet8")
MODELS = install.RIVALS / "models"


@dataclasses.dataclass(frozen=True)
class Rival:
    """Where a rival is installed, which tool quantizes for it, and the files that this gives, the model first."""

    environment: str  # virtual environment of its engine, or "rust"
    requirements: str  # what is installed for it, in that environment
    tool: str  # of quantize.py, run in the environment `tools`
    files: tuple
    version: str  # name of the package or crate

    @property
    def tools(self):
        """The environment of the tool."""
        return "python" if self.environment == "rust" else self.environment


RIVALS = {
    "onnxruntime": Rival("python", "networks", "onnxruntime", ("u8s8.onnx",), "onnxruntime"),
    "onnxruntime-precise": Rival("python", "networks", "onnxruntime", ("u8s8.onnx",), "onnxruntime"),
    "onnxruntime-u8u8": Rival("python", "networks", "onnxruntime-u8u8", ("u8u8.onnx",), "onnxruntime"),
    "openvino": Rival("python", "openvino", "openvino", ("openvino.xml", "openvino.bin"), "openvino"),
    "litert": Rival("litert", "litert", "litert", ("int8.tflite",), "ai-edge-litert"),
    "ncnn": Rival("python", "ncnn", "ncnn", ("ncnn-int8.param", "ncnn-int8.bin"), "ncnn"),
    "tract": Rival("rust", "networks", "onnxruntime", ("u8s8.onnx",), "tract"),
    "rten": Rival("rust", "networks", "rten", ("dynamic.onnx",), "rten"),
    "resi8": Rival("rust", "networks", "resi8", ("r8",), ""),
}
SIDES = {"resnet18": 224, "resnet50": 224, "resnet20": 32, "resnet8": 32}


def path(network, suffix):
    """A file of a network."""
    return MODELS / f"{network}.{suffix}"


# --- Installing and preparing ---------------------------------------------------------------------------------------


def install_rivals(names, restrain):
    """Installs what the rivals need; returns {name: reason} of those that cannot be had."""
    install.packages("python", "networks")  # without it there are no networks: an error ends the program
    failures = {}
    steps = {}
    for name in names:
        rival = RIVALS[name]
        if name == "resi8":
            steps[name] = install.resi8
        elif rival.environment == "rust":
            steps[name] = install.rust_rivals
        else:
            steps[name] = lambda rival=rival: install.packages(rival.environment, rival.requirements)
    for name, step in steps.items():
        try:
            step()
        except (RuntimeError, OSError) as error:
            failures[name] = f"cannot be installed: {error}"
    if restrain:
        install.restrained(restrain)
    return failures


def script(environment, file, *arguments):
    """Runs a script of this folder in an environment."""
    log = install.RIVALS / "logs" / ("-".join([file, *arguments[1::2]]).replace("/", "_") + ".log")
    install.run([install.python(environment), install.HERE / file, "--models", MODELS, *arguments], log)


def outdated(file, source):
    """Whether a file is missing or older than what it is made of."""
    return not file.exists() or file.stat().st_mtime < source.stat().st_mtime


def prepare_network(network, data):
    """Makes the float network and its pictures, once."""
    if not path(network, "weights.txt").exists():
        print(f"making {network} ...", flush=True)
        script("python", "networks.py", "--network", network, "--data", str(data))


def prepare_model(network, name):
    """Quantizes a network for a rival: once, for resi8 again when the converter has changed."""
    rival = RIVALS[name]
    source = install.TARGET / "release/resi8" if name == "resi8" else path(network, "onnx")
    if outdated(path(network, rival.files[-1]), source):
        print(f"quantizing {network} for {name} ...", flush=True)
        script(rival.tools, "quantize.py", "--network", network, "--tool", rival.tool)


def prepare(networks, names, data, failures):
    """Makes all files; a rival whose tool fails joins the failures."""
    for network in networks:
        prepare_network(network, data)
        for name in names:
            if name in failures:
                failures[(network, name)] = failures[name]
                continue
            try:
                prepare_model(network, name)
            except (RuntimeError, OSError) as error:
                failures[(network, name)] = f"cannot be quantized: {error}"


# --- Measuring ------------------------------------------------------------------------------------------------------


def resi8_command(network, args):
    """`resi8-run bench`, with as many runs as take the wanted time."""
    base = [str(install.TARGET / "dist/resi8-run"), "bench", str(path(network, "r8")), "--json"]
    # The same picture as the rivals: on AVX2 time depends on the values a little.
    base += ["--picture", str(path(network, "check.png")), "--threads", str(args.threads)]
    isa = args.isa or args.restrain
    base += ["--isa", isa] if isa else []

    def command(_round):
        # One run tells how many fit; the second process is the measurement.
        pilot = measure.run([*base, "--runs", "3", "--warmup", "2"], args.cpus, {})
        runs = lambda seconds: str(max(10, round(seconds * 1e3 / pilot.latency_ms_median)))
        return [*base, "--runs", runs(args.seconds), "--warmup", runs(0.3)]

    return command


def rival_command(network, name, args):
    """The measuring program of a rival; in the first round it writes logits too."""
    rival = RIVALS[name]
    if rival.environment == "rust":
        program = [str(install.rust_program(name, args.restrain))]
    else:
        program = [str(install.python(rival.environment)), str(install.HERE / "engines.py"), "--engine", name]
    program += ["--model", str(path(network, rival.files[0])), "--pictures", str(path(network, "check.f32"))]
    program += ["--side", str(SIDES[network]), "--threads", str(args.threads), "--seconds", str(args.seconds)]
    logits = ["--logits", str(path(network, f"{name}.logits.f32"))]
    return lambda number: [*program, *logits] if number == 0 else program


def environment(args):
    """Variables of every measured process."""
    count = str(args.threads)
    variables = {"OMP_NUM_THREADS": count, "RAYON_NUM_THREADS": count, "RTEN_NUM_THREADS": count}
    return variables | (install.restrained_environment(args.restrain) if args.restrain else {})


def jobs(args, failures):
    """A command for every network and rival that is ready."""
    wanted = [(network, name) for network in args.networks for name in args.rivals]
    make = lambda network, name: resi8_command(network, args) if name == "resi8" else rival_command(network, name, args)
    return {key: make(*key) for key in wanted if key not in failures}


def logit_sqnr(network, name):
    """Logits against the float network's, over the check pictures."""
    if name != "resi8":
        return report.sqnr_db(path(network, "logits.f32"), path(network, f"{name}.logits.f32"))
    command = [install.TARGET / "release/resi8", "eval", path(network, "r8"), "--float", path(network, "onnx")]
    command += ["--data", path(network, "check.npy"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode else json.loads(done.stdout)["logit_sqnr_db"]


# --- Reporting ------------------------------------------------------------------------------------------------------


def lines(network, samples, names):
    """The table of one network."""
    pins, ours = install.versions(), samples.get((network, "resi8"), {})
    for name in names:
        if (network, name) in samples:
            rival = RIVALS[name]
            size = sum(path(network, suffix).stat().st_size for suffix in rival.files)
            version = pins[rival.version] if rival.version else ""
            yield report.summary(name, samples[network, name], ours, version, size, logit_sqnr(network, name))


def make_record(args, samples, failures, load_before):
    """Everything that is kept."""
    waited = [sample.waited for rounds in samples.values() for sample in rounds.values()]
    return {
        "date": report.today(),
        "commit": report.commit(),
        "machine": report.machine(),
        "run": {
            "threads": args.threads,
            "cpus": ",".join(map(str, sorted(args.cpus))),
            "rounds": args.rounds,
            "seconds": args.seconds,
            "isa": args.isa,
            "restrain": args.restrain,
            "load_before": load_before,
            "load_after": os.getloadavg()[0],
            "most_waited": max(waited, default=0),
        },
        "networks": [
            {
                "name": network,
                "weights": path(network, "weights.txt").read_text().strip(),
                "lines": list(lines(network, samples, args.rivals)),
            }
            for network in args.networks
        ],
        "failures": {" ".join(key): why for key, why in failures.items() if isinstance(key, tuple)},
    }


def some_of(known):
    """Reads a list separated by commas of known names."""

    def read(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return read


def arguments():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=some_of(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--rivals", type=some_of(RIVALS), default=list(RIVALS), help=", ".join(RIVALS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of timed runs per measurement")
    parser.add_argument("--isa", help="instruction set of resi8, see `resi8-run info`")
    parser.add_argument("--cpus", help="cores to measure on, for example 2,3; by default the last ones")
    parser.add_argument("--restrain", choices=list(install.MASKS), help="show the rivals a CPU with that and nothing beyond")
    data = install.ROOT.parent / "shared/data"
    parser.add_argument("--data", type=Path, default=data, help="folder of trained networks and photos")
    parser.add_argument("--record", type=Path, default=install.ROOT / "benches/record", help="folder of the record")
    args = parser.parse_args()
    available = sorted(os.sched_getaffinity(0))
    args.cpus = set(map(int, args.cpus.split(","))) if args.cpus else set(available[-args.threads :])
    return args


def main():
    """Everything in turn."""
    args = arguments()
    failures = install_rivals(args.rivals, args.restrain)
    prepare(args.networks, args.rivals, args.data, failures)
    measure.keep_off(args.cpus)
    load_before = os.getloadavg()[0]
    print(f"measuring on cpu {sorted(args.cpus)} ...", flush=True)
    samples = measure.rounds(args.rounds, args.networks, jobs(args, failures), args.cpus, environment(args), failures)
    record = make_record(args, samples, failures, load_before)
    print("\n" + report.markdown(record))
    print(f"wrote {report.write(record, args.record)}")


if __name__ == "__main__":
    main()
