#!/usr/bin/env bash
# Every check and every test of resi8, after installing what they need (Debian or Ubuntu, with cargo in PATH).
#
#     ./test.sh
#
# RESI8_DATA           folder of trained networks and labelled pictures for the accuracy tests, by default
#                      ../shared/data; without it they are skipped, and the table at the end says so
# RESI8_EXPECT_ISAS    instruction sets whose kernels must have been checked here, separated by commas, by default those
#                      that this CPU says it has; on x86-64 those that it lacks are checked on an emulated CPU
#
# Exit code 0: all that was expected has run and passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/cross.sh

readonly target=${CARGO_TARGET_DIR:-$PWD/target}
readonly logs=$target/test-logs
readonly thumb=thumbv7em-none-eabihf
readonly everything=(--release --locked --workspace --features resi8/write)
readonly x86_isas=portable,avx2,avx-vnni,avx512-vnni

# The instruction sets of this CPU, as the runtime should find them.
isas_of_this_cpu() {
    local flags isas=portable
    flags=" $(sed -nE '/^(flags|Features)/ { s/.*: //p; q }' /proc/cpuinfo) "
    has() {
        local flag
        for flag in "$@"; do [[ $flags == *" $flag "* ]] || return 1; done
    }
    if has avx2; then isas+=,avx2; fi
    if has avx2 avx_vnni || has avx2 avx512f avx512vl avx512_vnni; then isas+=,avx-vnni; fi
    if has avx512f avx512bw avx512vl avx512_vnni; then isas+=,avx512-vnni; fi
    if has asimd || has neon; then isas+=,neon; fi
    if has asimddp; then isas+=,neon-dotprod; fi
    if has i8mm; then isas+=,neon-i8mm; fi
    echo "$isas"
}

RESI8_EXPECT_ISAS=${RESI8_EXPECT_ISAS:-$(isas_of_this_cpu)}
export RESI8_EXPECT_ISAS

# --- The table ------------------------------------------------------------------------------------------------------

rows=()
failures=0

# row WHAT RESULT [SECONDS]
row() {
    rows+=("$(printf '%-46s %-40s %6s' "$1" "$2" "${3:-}")")
}

# Counts of all test programs in a log: "PASSED FAILED IGNORED".
count_tests() {
    awk '/^test result:/ { p += $4; f += $6; i += $8 } END { print p + 0, f + 0, i + 0 }' "$@"
}

log_of() {
    echo "$logs/${1//[^[:alnum:]]/-}.log"
}

# section NAME COMMAND...: runs the command, shows its output and keeps it, adds a row to the table. A failure is
# remembered and the next section runs all the same, so that one run shows everything that is wrong.
section() {
    local name=$1 log start=$SECONDS status passed failed ignored result
    log=$(log_of "$name")
    shift
    printf '\n==== %s\n' "$name"
    set +e
    (set -e; "$@") 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    read -r passed failed ignored < <(count_tests "$log")
    result=passed
    if ((passed + failed > 0)); then result="$passed tests passed"; fi
    if ((ignored > 0)); then result+=", $ignored ignored"; fi
    if ((status != 0)); then
        result="FAILED (exit code $status)"
        failures=$((failures + 1))
        printf '==== %s FAILED\n' "$name"
    fi
    row "$name" "$result" "$((SECONDS - start)) s"
}

print_table() {
    local passed failed
    read -r passed failed _ < <(count_tests "$logs"/*.log)
    printf '\n==== What ran\n'
    printf '%s\n' "${rows[@]}"
    printf '\n%s sections failed, %s s in all\n' "$failures" "$SECONDS"
    printf '%s passed, %s failed\n' "$passed" "$failed"
}

# --- What is needed -------------------------------------------------------------------------------------------------

tools() {
    have cargo || { echo "cargo is not in PATH: install Rust, see https://rustup.rs"; return 1; }
    if ! have cc || ! have c++ || ! have nm; then apt_install build-essential; fi
    cargo fmt --version || rustup component add rustfmt
    cargo clippy --version || rustup component add clippy
    rustc --version --verbose
}

# Debian's packages for all sections at once. Sections that also run alone ask for what they need themselves.
packages() {
    apt_install build-essential xz-utils cmake make pkg-config python3 time qemu-user-static qemu-system-arm qemu-system-misc \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross \
        gcc-arm-none-eabi libnewlib-arm-none-eabi
}

# --- Checks without running -----------------------------------------------------------------------------------------

format() {
    cargo fmt --all --check
    cargo fmt --manifest-path runtime/fuzz/Cargo.toml --check
    cargo fmt --manifest-path benches/rivals/rust/Cargo.toml --check
    cargo fmt --manifest-path firmware-examples/cortex-m-rust/Cargo.toml --check
    cargo fmt --manifest-path firmware-examples/riscv-rust/Cargo.toml --check
}

lint() {
    local triple
    cargo clippy --release --locked --workspace --all-targets --keep-going -- -D warnings
    cargo clippy --release --locked -p resi8 --no-default-features -- -D warnings
    cargo clippy --release --locked -p resi8 --no-default-features --features write -- -D warnings
    cargo clippy --release --locked -p resi8 --features peak,write -- -D warnings
    if can_emulate_arm; then
        for triple in aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf; do
            cross_cargo "$triple" clippy --release --locked -p resi8 --features write --target-dir "$target/arm" -- -D warnings
        done
    fi
}

# The binaries are left out: that of the converter has the runtime's name.
docs() {
    # The C library has the name of the crate `resi8`, and its header for documentation.
    RUSTDOCFLAGS="-D warnings" cargo doc "${everything[@]}" --exclude resi8-capi --no-deps --lib --keep-going
}

fuzz_target() {
    cargo clippy --locked --manifest-path runtime/fuzz/Cargo.toml --target-dir "$target/fuzz" -- -D warnings
}

licences() {
    cargo deny --workspace check licenses bans sources
}

# --- Tests ----------------------------------------------------------------------------------------------------------

# The development profile traps overflows.
overflow_checks() {
    cargo test --locked -p resi8 --features write --no-fail-fast
}

build_tests() {
    cargo test "${everything[@]}" --no-run
    cargo build "${everything[@]}" --bins --examples
}

# test_program NAME: the path of a test program, from the JSON that cargo prints when it builds some.
test_program() {
    sed -nE 's/.*"name":"'"$1"'".*"executable":"([^"]+)".*/\1/p'
}

all_tests() {
    cargo test "${everything[@]}" --no-fail-fast -- --show-output
}

# Cargo leaves a test whose required features are off out without a word: compare what ran with the files there are.
nothing_left_out() {
    local log isa
    log=$(log_of "all tests")
    diff --unified=0 --label "test programs that there are" --label "test programs that ran" \
        <(find runtime converter benches -name '*.rs' | sed -nE 's|.*/tests/([^/]+(/main)?\.rs)$|\1|p' | sort) \
        <(sed -nE 's|^ *Running tests/([^ ]+\.rs) .*|\1|p' "$log" | sort)
    for isa in ${RESI8_EXPECT_ISAS//,/ }; do
        grep -q "^kernel_check: $isa ran" "$log" || { echo "the kernels of $isa have not been checked"; return 1; }
    done
    if [ -n "${RESI8_REQUIRE_DATA:-}" ] && grep "SKIPPED:" "$log"; then
        echo "tests were skipped although there is data"
        return 1
    fi
    echo "all test programs and all expected instruction sets have run"
}

# Every benchmark once: its results are compared, nothing is timed.
benchmarks_once() {
    cargo test "${everything[@]}" --bench kernels --bench layers --bench networks
}

# Record 0 of a CIFAR-style file (label; red, green, blue planes of 32 x 32) as interleaved RGB bytes.
first_picture() {
    local hex
    plane() { od -j$((1 + $2 * 1024)) -N1024 -An -v -tx1 -w1 "$1" | sed 's/ */\\x/'; }
    hex=$(paste -d '' <(plane "$1" 0) <(plane "$1" 1) <(plane "$1" 2) | tr -d '\n')
    printf '%b' "$hex"
}

# Converts the network that comes with resi8; both examples then find the same class for the same picture.
examples() {
    local folder=$target/examples-test best static
    mkdir -p "$folder"
    first_picture converter/models/calibration/drawn_128.bin >"$folder/picture.rgb"
    "$target/release/resi8" demo -o "$folder/demo.r8"
    "$target/release/resi8-run" selftest "$folder/demo.r8"
    "$target/release/examples/classify" "$folder/demo.r8" <"$folder/picture.rgb" | tee "$folder/classes.txt"
    best=$(sed -nE '1s/.* (class [0-9]+) .*/\1/p' "$folder/classes.txt")
    static=$("$target/release/examples/static_buffers" "$folder/demo.r8" "$folder/picture.rgb")
    echo "in static memory: $static"
    [ "$best" = "$static" ]
}

# --- Instruction sets that this CPU lacks ---------------------------------------------------------------------------

can_emulate() {
    [ "$(uname -m)" = x86_64 ] && [ "$(. /etc/os-release && echo "$ID")" = debian ]
}

# static_tests NAME...: builds test programs of the runtime without dynamic libraries; prints what cargo says of them.
static_tests() {
    local name tests=() triple=x86_64-unknown-linux-gnu
    for name in "$@"; do tests+=(--test "$name"); done
    RUSTFLAGS=-Ctarget-feature=+crt-static cargo test --no-run --release --locked -p resi8 --features write \
        "${tests[@]}" --target "$triple" --target-dir "$target/static" --message-format json
}

# Every kernel on an emulated CPU that has all instruction sets of x86-64, with fewer random cases; then a whole model, and files in parts.
emulated() {
    local run=.ci/emulator/run.sh built
    built=$(static_tests kernel_check whole_model file)
    "$run" --env RESI8_EXPECT_ISAS=$x86_isas --env RESI8_KERNEL_CASES=1000 "$(test_program kernel_check <<<"$built")" --show-output
    "$run" "$(test_program whole_model <<<"$built")" --show-output
    "$run" "$(test_program file <<<"$built")"
}

. .ci/arm.sh
. .ci/firmware.sh
. .ci/capi.sh

# --- Without std ----------------------------------------------------------------------------------------------------

no_std_host() {
    cargo build --release --locked -p resi8 --no-default-features
    cargo build --release --locked -p resi8 --no-default-features --features write
}

no_std_thumb() {
    local out=$target/thumb cross_libdir
    rm -rf "$out"
    cross_cargo "$thumb" build --release --locked -p resi8 --no-default-features --target-dir "$out"
    no_std_inside "$cross_libdir" "$out/$thumb/release/deps"
}

# no_std_inside SYSROOT_LIBRARIES BUILT_LIBRARIES: there was no std to link, and no symbol of the allocator is used.
no_std_inside() {
    local symbols
    if compgen -G "$1/libstd-*" || compgen -G "$2/libstd-*" || compgen -G "$2/liballoc-*"; then
        echo "std or alloc was at hand for $thumb: this build proves nothing"
        return 1
    fi
    symbols=$(nm --format=posix "$2"/libresi8-*.rlib 2>/dev/null | cut -d ' ' -f 1)
    grep -q resi8 <<<"$symbols" || { echo "nm finds no symbol of resi8: this check proves nothing"; return 1; }
    if grep -E '3std|5alloc|__rust_(de|re)?alloc' <<<"$symbols"; then
        echo "these symbols need std or an allocator"
        return 1
    fi
    echo "$(wc -l <<<"$symbols") symbols, none of std or an allocator"
}

# --- All of it ------------------------------------------------------------------------------------------------------

find_data() {
    local data=${RESI8_DATA:-$PWD/../shared/data}
    if [ -d "$data" ]; then
        RESI8_DATA=$(realpath "$data")
        export RESI8_DATA RESI8_REQUIRE_DATA=1
    else
        unset RESI8_REQUIRE_DATA
        printf '\nSKIPPED: THE ACCURACY TESTS WILL NOT RUN. There is no folder %s; set RESI8_DATA.\n' "$data"
    fi
}

emulation_skipped() {
    printf '\nSKIPPED: INSTRUCTION SETS THAT THIS CPU LACKS. The emulator is built from Debian packages.\n'
    row "instruction sets, emulated" "NOT ON THIS SYSTEM: SKIPPED"
}

rows_of_isas() {
    local log isa
    log=$(log_of "all tests")
    while read -r isa; do
        row "kernels: $isa" "checked"
    done < <(sed -nE 's/^kernel_check: (.*) ran$/\1/p' "$log" | sort -u)
    log=$(log_of "instruction sets, emulated")
    if [ -f "$log" ]; then
        while read -r isa; do
            row "kernels: $isa" "checked on an emulated CPU"
        done < <(sed -nE 's/^kernel_check: (.*) ran$/\1/p' "$log" | sort -u)
    fi
    if [ -n "${RESI8_REQUIRE_DATA:-}" ]; then
        row "data for the accuracy tests" "there, none may be skipped"
    else
        row "data for the accuracy tests" "NOT THERE: SKIPPED"
    fi
}

main() {
    rm -rf "$logs"
    mkdir -p "$logs"
    find_data
    section "tools" tools
    if can_emulate_arm; then section "packages" packages; fi
    section "format" format
    section "runtime tests with overflow checks" overflow_checks
    section "no_std: $(rustc --print host-tuple)" no_std_host
    section "no_std: $thumb" no_std_thumb
    section "build of all tests" build_tests
    section "all tests" all_tests
    section "nothing left out" nothing_left_out
    section "benchmarks, each once" benchmarks_once
    section "examples" examples
    if [ "$RESI8_EXPECT_ISAS" != "$x86_isas" ]; then
        if can_emulate; then section "instruction sets, emulated" emulated; else emulation_skipped; fi
    fi
    arm_sections
    firmware_sections
    capi_sections
    section "lint" lint
    section "documentation" docs
    section "fuzz target builds" fuzz_target
    if have cargo-deny; then section "licences" licences; fi
    rows_of_isas
    print_table
    ((failures == 0))
}

main
