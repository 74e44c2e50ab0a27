#!/usr/bin/env bash
# Builds the example for a core and runs it in QEMU:
#
#     ./run.sh CORE [MODEL.r8 [PICTURES.bin]]
#     ./run.sh CORE kernels
#
# CORE is m0, m3, m4, m7, m33 or m55, or m4+target, m7+target or m33+target to run a model that was converted for it
# (`resi8 convert --target`). Without MODEL the small network of the runtime's tests is used. PICTURES are CIFAR-10
# records; with them it prints their classes, one a line. `kernels` compares the microkernels with the normative arithmetic
# instead.
set -euo pipefail
usage=$(sed -n '2,10s/^# \{0,1\}//p' "$0")
if [ -n "${2:-}" ] && [ "$2" != kernels ]; then
    MODEL=$(realpath "$2")
    export MODEL
fi
# Without an argument QEMU would name the image.
pictures=-
if [ -n "${3:-}" ]; then pictures=$(realpath "$3"); fi
cd "$(dirname "$0")"
# shellcheck source=../../.ci/cross.sh
. ../../.ci/cross.sh

# Instructions of a tick of SysTick: 1e9 / (clock * 2^shift of -icount), as a fraction. SysTick has 24 bits, so it wraps after 84
# million instructions of a board with 25 MHz, or after 671 million with shift 0, which Cortex-M0 needs.
shift=3
core=${1:-}
case ${core%+target} in
    # QEMU's board with a Cortex-M0 has 16 KiB of memory; a Cortex-M3 runs the same instructions.
    m0) triple=thumbv6m-none-eabi board=mps2 machine=mps2-an385 features=(v6) ticks=(40 1) shift=0 ;;
    m3) triple=thumbv7m-none-eabi board=mps2 machine=mps2-an385 features=(v7) ticks=(5 1) ;;
    m4) triple=thumbv7em-none-eabi board=mps2 machine=mps2-an386 features=(dsp) ticks=(5 1) ;;
    m7) triple=thumbv7em-none-eabi board=mps2 machine=mps2-an500 features=(dsp) ticks=(5 1) ;;
    m33) triple=thumbv8m.main-none-eabi board=an505 machine=mps2-an505 features=(dsp) ticks=(25 4) ;;
    m55) triple=thumbv8m.main-none-eabihf board=an547 machine=mps3-an547 features=(mve) ticks=(125 32) ;;
    *) echo "$usage" >&2; exit 2 ;;
esac
case $core in *+target) features+=(target) ;; esac
target=${CARGO_TARGET_DIR:-$PWD/target}/cortex-m-rust
program=cortex-m-rust
if [ "${2:-}" = kernels ]; then
    program=kernel-check
    features+=(check)
fi
export BOARD=$board

apt_install qemu-system-arm
cross_cargo "$triple" build --release --locked --quiet --target-dir "$target" --bin "$program" --features "${features[*]}" >&2
image=$target/$core-$program.elf
cp "$target/$triple/release/$program" "$image"
qemu-system-arm -machine "$machine" -display none -monitor none -serial none -icount shift="$shift" \
    -semihosting-config "enable=on,target=native,arg=$pictures" -kernel "$image" |
    awk -v up="${ticks[0]}" -v down="${ticks[1]}" '
        /^instructions, / { $NF = int($NF * up / down) }
        { print }'
