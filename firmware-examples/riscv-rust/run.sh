#!/usr/bin/env bash
# Builds the example for rv32imc and runs it in QEMU:
#
#     ./run.sh [MODEL.r8 [PICTURES.bin]]
#
# Without MODEL the small network of the runtime's tests is used. PICTURES are CIFAR-10 records; with them it prints their
# classes, one a line.
set -euo pipefail
if [ -n "${1:-}" ]; then
    MODEL=$(realpath "$1")
    export MODEL
fi
# Without an argument QEMU would name the image.
pictures=-
if [ -n "${2:-}" ]; then pictures=$(realpath "$2"); fi
cd "$(dirname "$0")"
# shellcheck source=../../.ci/cross.sh
. ../../.ci/cross.sh

triple=riscv32imc-unknown-none-elf
target=${CARGO_TARGET_DIR:-$PWD/target}/riscv-rust

apt_install qemu-system-misc
cross_cargo "$triple" build --release --locked --quiet --target-dir "$target" >&2
qemu-system-riscv32 -machine virt -bios none -display none -monitor none -serial none -icount shift=0 \
    -semihosting-config "enable=on,target=native,arg=$pictures" -kernel "$target/$triple/release/riscv-rust"
