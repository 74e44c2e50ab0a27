#!/usr/bin/env bash
# Builds the library and the example for a core, runs it in QEMU, and shows what it takes.
#
#     ./run.sh m3|m4|m7|m33|m55 [MODEL.r8]
#
# Without MODEL it is the small network of the runtime's tests. MODEL must take pictures of 32 x 32 pixels. CONVERTER names a converter that is
# there; without it one is built, for which minutes go by.
#
# Packages (Debian): gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm make; Rust with a target for the core.
set -euo pipefail

core=${1:-}
model=${2:+$(realpath "$2")}
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ ! -f "board/$core.mk" ]; then
    echo "usage: $0 m3|m4|m7|m33|m55 [MODEL.r8]" >&2
    exit 2
fi

# value NAME: of the core's file.
value() {
    sed -n "s/^$1 := //p" "board/$core.mk"
}

build=build/$core
mkdir -p "$build"
../../runtime/capi/install.sh "$build/resi8" "$(value TARGET)" --features "$(value FEATURES)"
converter=(cargo run --quiet --release --locked -p resi8-converter --)
if [ -n "${CONVERTER:-}" ]; then converter=("$CONVERTER"); fi
"${converter[@]}" export "${model:-../../runtime/tests/models/resnet8-low-memory.r8}" --c build
make CORE="$core"

# An instruction takes a nanosecond, so that SysTick counts instructions.
timeout 300 qemu-system-arm -machine "$(value MACHINE)" -display none -monitor none -serial none \
    -semihosting-config enable=on,target=native -icount shift=0 -kernel "$build/firmware.elf" 2>&1

arm-none-eabi-size -A "$build/firmware.elf" | awk '
    $1 ~ /^\.(vectors|text|rodata|exidx|data)$/ { code += $2 }
    $1 == ".model" { model = $2 }
    END { print "code bytes: " code; print "network and picture bytes: " model }'
