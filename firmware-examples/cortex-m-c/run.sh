#!/usr/bin/env bash
# Builds the library and the example for a core, runs it in QEMU, and shows what it takes.
#
#     ./run.sh m3|m4|m7|m33|m55
#
# Packages (Debian): gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm make; Rust with a target for the core.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

core=${1:-}
if [ ! -f "board/$core.mk" ]; then
    echo "usage: $0 m3|m4|m7|m33|m55" >&2
    exit 2
fi

# value NAME: of the core's file.
value() {
    sed -n "s/^$1 := //p" "board/$core.mk"
}

build=build/$core
read -ra features < <(value FEATURES) || true
../../runtime/capi/install.sh "$build/resi8" "$(value TARGET)" "${features[@]}"
make CORE="$core"

# An instruction takes a nanosecond, so that SysTick counts instructions.
timeout 300 qemu-system-arm -machine "$(value MACHINE)" -display none -monitor none -serial none \
    -semihosting-config enable=on,target=native -icount shift=0 -kernel "$build/firmware.elf" 2>&1

arm-none-eabi-size -A "$build/firmware.elf" | awk '
    $1 ~ /^\.(vectors|text|rodata|exidx|data)$/ { code += $2 }
    $1 == ".model" { model = $2 }
    END { print "code bytes: " code; print "network and picture bytes: " model }'
