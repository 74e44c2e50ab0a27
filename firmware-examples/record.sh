#!/usr/bin/env bash
# Measures the examples on every core and rewrites record.json and record.md.
#
#     ./record.sh
set -euo pipefail
cd "$(dirname "$0")/.."
readonly target=${CARGO_TARGET_DIR:-$PWD/target}
# shellcheck source=../.ci/firmware.sh
. .ci/firmware.sh

CARGO_TARGET_DIR=$target cargo build --quiet --release --locked -p resi8-converter
readonly cores="$firmware_cores $firmware_targets"
lines=()
for core in $cores; do
    firmware_run "$core"
    lines+=("$(firmware_line "$core" "$target/firmware-$core.txt")")
done
{
    echo '{'
    for index in "${!lines[@]}"; do
        comma=,
        if ((index + 1 == ${#lines[@]})); then comma=; fi
        echo "    ${lines[index]}$comma"
    done
    echo '}'
} >"$firmware_record"
{
    echo '# What the firmware examples take'
    echo
    echo 'Written by `firmware-examples/record.sh` from runs in QEMU with the network of the tests; `.ci/firmware.sh` fails when one of'
    echo 'them grows by more than 3 %. Each line: `firmware-examples/cortex-m-rust/run.sh CORE`, or `riscv-rust/run.sh` for `rv32`, then'
    echo '`size -A` of the image; `rodata` is without model and picture, `library` is `text` and `rodata` without the functions of the'
    echo 'example and of its crates. Instructions are those of one inference and of the check of the model, the rest bytes. Cores with'
    echo '`+target` run a model that was converted for them, `resi8 convert --target`.'
    echo
    echo "| core | ${firmware_measures// / | } |"
    echo "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for index in "${!lines[@]}"; do
        line=${lines[index]}
        printf '| %s ' "$(cut -d '"' -f 2 <<<"$line")"
        for name in $firmware_measures; do printf '| %s ' "$(firmware_measure "$line" "$name")"; done
        echo '|'
    done
    echo
    echo 'The stack is the deepest of the whole program, by paint that is no longer there at its end; the C example is in `cortex-m-c`. Of an'
    echo 'inference, in instructions of each layer:'
    echo
    echo "| layer | ${cores// / | } |"
    echo "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    layers=$(sed -n 's/^instructions, layer \([0-9]*\) .*/\1/p' "$target/firmware-m3.txt")
    for layer in $layers; do
        printf '| %s ' "$layer"
        for core in $cores; do
            printf '| %s ' "$(firmware_number "$target/firmware-$core.txt" "instructions, layer $layer")"
        done
        echo '|'
    done
} >firmware-examples/record.md
cat firmware-examples/record.md
