#!/usr/bin/env bash
# Builds resi8-run for a board with Linux on ARM: one small static file that is copied over and run.
#
#     firmware-examples/raspberry-pi/build.sh [aarch64-unknown-linux-gnu | armv7-unknown-linux-gnueabihf]
#
# The first one is for 64-bit systems, the second one for 32-bit systems. Installs what it needs (Debian or Ubuntu, with cargo in
# PATH) and prints the path of the file. rustup's standard library with the musl C library makes the smallest file. Where it
# cannot be had, the distribution's Rust builds one from source, for size, and the GNU C library is linked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. .ci/cross.sh

readonly board=${1:-aarch64-unknown-linux-gnu}
readonly out=${CARGO_TARGET_DIR:-$PWD/target}/arm
# The most bytes that the file may have.
readonly most=$((2 << 20))

main() {
    local triple=${board/gnu/musl} cargo=cross_cargo tool size
    install_linker "$board" >&2
    if ! prebuilt "$triple" >&2; then
        triple=$board
        if apt_install "${distribution_rust[@]}" >&2; then cargo=source_cargo; fi
    fi
    # Nothing unwinds: a panic ends the program.
    RUSTFLAGS="-Ctarget-feature=+crt-static -Cforce-unwind-tables=no" $cargo "$triple" build --locked \
        --profile dist -p resi8-run --target-dir "$out" >&2
    tool=$out/$triple/dist/resi8-run
    size=$(stat --format %s "$tool")
    if readelf --program-headers "$tool" | grep -q INTERP; then
        echo "$tool needs a dynamic linker" >&2
        return 1
    fi
    if ((size > most)); then
        echo "$tool has $size bytes, more than $most" >&2
        return 1
    fi
    echo "$size bytes, one static file" >&2
    echo "$tool"
}

main
