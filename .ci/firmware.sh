# shellcheck shell=bash
# Sourced by test.sh and by firmware-examples/record.sh: the firmware examples on every core, in QEMU.

readonly firmware_cores="m3 m4 m7 m33 m55 m0 rv32"
# Cores that run a model which is converted for them, too.
readonly firmware_targets="m4+target m7+target m33+target"
# A core for every instruction set.
readonly firmware_isas="m3 cortexm-v7
m4 cortexm-dsp
m55 cortexm-mve"
readonly firmware_record=firmware-examples/record.json

# Measures that may not grow by more than 3 %, in the order of the record.
readonly firmware_measures="instructions check text rodata library bss stack arena"

# Bytes that no core may exceed whose kernels are written for it: memory of a run, its stack, and code with the checks of a model. Sums on
# the stack of Helium's kernels are worth their 700 bytes. A model with transformed weights is converted for speed, not for little memory.
readonly firmware_memory=24832
readonly firmware_memory_of_target=36864
readonly firmware_stack=1024
readonly firmware_code=24576

# Bytes of the picture that is linked into the example.
readonly firmware_picture=3072

# firmware_example CORE ARGUMENT...: builds and runs the example.
firmware_example() {
    local example=(firmware-examples/cortex-m-rust/run.sh "$1")
    if [ "$1" = rv32 ]; then example=(firmware-examples/riscv-rust/run.sh); fi
    CARGO_TARGET_DIR=$target timeout --kill-after=5 300 "${example[@]}" "${@:2}" </dev/null
}

# firmware_convert CORE FILE: converts the network of the tests for a core, with the converter that has been built.
firmware_convert() {
    local models=converter/models name=${1%+target}
    "$target/release/resi8" convert "$models/resnet8-cifar10.onnx" \
        --preprocess cifar --calibration "$models/calibration/drawn_128.bin" --labels "$models/cifar10-labels.txt" \
        --target "cortex-$name" -o "$2" >/dev/null
}

# firmware_image CORE
firmware_image() {
    case $1 in
        rv32) echo "$target"/riscv-rust/*/release/riscv-rust ;;
        *) echo "$target/cortex-m-rust/$1-cortex-m-rust.elf" ;;
    esac
}

# firmware_number LOG NAME: the number behind a name in the example's output.
firmware_number() {
    sed -n "s/^$2 \([0-9]*\)\$/\1/p" "$1"
}

# firmware_section IMAGE NAME: bytes of a section.
firmware_section() {
    size -A "$1" | awk -v name="$2" '$1 == name { print $2 }'
}

# firmware_library IMAGE BYTES: what is left of so many bytes of code and constants without what is the example's own and its crates'.
# Its function `session` counts as the library's, of which most of it is.
firmware_library() {
    local size left=$2
    while read -r size; do
        left=$((left - 16#$size))
    done < <(nm --demangle --print-size "$1" | awk '$3 ~ /^[tTrRW]$/ && /cortex_m|riscv_r|semihosting/ && !/MODEL|::session$/ { print $2 }')
    echo "$left"
}

# firmware_line CORE LOG: what was measured, as a line of the record. The model and the picture are no part of rodata.
firmware_line() {
    local image rodata text
    image=$(firmware_image "$1")
    text=$(firmware_section "$image" .text)
    rodata=$(($(firmware_section "$image" .rodata) - $(firmware_number "$2" "bytes, model") - firmware_picture))
    printf '"%s": {"instructions": %d, "check": %d, "text": %d, "rodata": %d, "library": %d, "bss": %d, "stack": %d, "arena": %d}' "$1" \
        "$(firmware_number "$2" "instructions, inference")" "$(firmware_number "$2" "instructions, check of the model")" \
        "$text" "$rodata" "$(firmware_library "$image" $((text + rodata)))" "$(firmware_section "$image" .bss)" \
        "$(firmware_number "$2" "bytes, stack")" "$(firmware_number "$2" "bytes, arena")"
}

# firmware_measure LINE NAME: a number of a line of the record.
firmware_measure() {
    sed -n "s/.*\"$2\": \([0-9]*\).*/\1/p" <<<"$1"
}

# Nothing of a panic, of formatting, of unwinding or of an allocator is linked.
firmware_symbols() {
    local symbols
    symbols=$(nm --demangle "$(firmware_image "$1")")
    grep -q resi8 <<<"$symbols" || { echo "nm finds no symbol of resi8: this check proves nothing"; return 1; }
    if grep -E 'core::panicking|core::fmt|_Unwind|eh_personality|alloc::|__rust_(de|re)?alloc|\b(malloc|free)$' <<<"$symbols"; then
        echo "these symbols must not be linked"
        return 1
    fi
    echo "$(wc -l <<<"$symbols") symbols, none of a panic, of formatting, of unwinding or of an allocator"
}

# firmware_compare CORE LINE: no measure is more than 3 % above the record.
firmware_compare() {
    local recorded name was is failed=0
    recorded=$(grep "^ *\"$1\":" "$firmware_record") || { echo "$firmware_record has no line for $1"; return 1; }
    for name in $firmware_measures; do
        was=$(firmware_measure "$recorded" "$name")
        is=$(firmware_measure "$2" "$name")
        if ((is * 100 > was * 103)); then
            echo "$1: $name grew from $was to $is"
            failed=1
        fi
    done
    return "$failed"
}

# firmware_limits CORE LINE: what it takes at most.
firmware_limits() {
    local stack arena library
    stack=$(firmware_measure "$2" stack)
    arena=$(firmware_measure "$2" arena)
    library=$(firmware_measure "$2" library)
    echo "$1: arena and stack $((arena + stack)) bytes, stack $stack, code $library"
    case $1 in
        *+target) ((arena + stack <= firmware_memory_of_target && stack <= firmware_stack)) ;;
        m3 | m4 | m7 | m33) ((arena + stack <= firmware_memory && stack <= firmware_stack && library <= firmware_code)) ;;
        m55) ((arena + stack <= firmware_memory)) ;;
    esac
}

# firmware_run CORE: builds and runs the example; leaves its output in a file.
firmware_run() {
    local model=()
    if [ "$1" != "${1%+target}" ]; then
        model=("$target/firmware-$1.r8")
        firmware_convert "$1" "${model[0]}"
    fi
    firmware_example "$1" "${model[@]}" >"$target/firmware-$1.txt"
    cat "$target/firmware-$1.txt"
    grep -q '^self-test: every layer is right$' "$target/firmware-$1.txt"
}

# Runs on a core, looks for symbols, compares with the record and with the class that the first core found.
firmware_check() {
    local core=$1 line
    firmware_run "$core"
    diff <(grep '^class' "$target/firmware-m3.txt") <(grep '^class' "$target/firmware-$core.txt")
    firmware_symbols "$core"
    line=$(firmware_line "$core" "$target/firmware-$core.txt")
    echo "$line"
    firmware_limits "$core" "$line"
    firmware_compare "$core" "$line"
}

# A trained network and labelled pictures give the same classes as on this machine.
firmware_pictures() {
    local core model=$target/arm-models/resnet8-mlperf-low-memory.r8 pictures=$RESI8_DATA/mlperf-tiny-ic/ic01_200.bin
    "$target/release/examples/classes" "$model" "$pictures" >"$target/firmware-classes.txt"
    [ "$(wc -l <"$target/firmware-classes.txt")" -eq 200 ]
    for core in m3 m7 m55 rv32; do
        firmware_example "$core" "$model" "$pictures" | diff "$target/firmware-classes.txt" -
        echo "$core: the classes of 200 pictures are those of this machine"
    done
    model=$target/firmware-mlperf-m7.r8
    "$target/release/resi8" convert "$RESI8_DATA/models/resnet8_mlperf_cifar10.onnx" --preprocess raw --target cortex-m7 \
        --calibration "$RESI8_DATA/cifar10/train_calib_1000.bin" -o "$model"
    firmware_example m7+target "$model" "$pictures" | diff "$target/firmware-classes.txt" -
    echo "m7, converted for it: the classes of 200 pictures are those of this machine"
}

# Every kernel of a core's tables, on the core, against the formulas.
firmware_kernels() {
    local core=$1 isa=$2 log=$target/firmware-kernels-$1.txt
    BUILD_STD=core,alloc firmware_example "$core" kernels | tee "$log"
    grep -q '^kernel_check: ran portable$' "$log"
    grep -q "^kernel_check: ran $isa\$" "$log"
    if [ "$isa" = cortexm-dsp ]; then grep -q "^kernel_check: ran transformed weights, $isa\$" "$log"; fi
}

firmware_sections() {
    local core isa
    if ! can_emulate_arm; then
        printf '\nSKIPPED: FIRMWARE IN RUST. The cross compilers and QEMU are Debian packages.\n'
        row "firmware, emulated" "NOT ON THIS SYSTEM: SKIPPED"
        return
    fi
    for core in $firmware_cores $firmware_targets; do
        section "firmware $core" firmware_check "$core"
    done
    while read -r core isa; do
        section "firmware kernels: $isa" firmware_kernels "$core" "$isa"
    done <<<"$firmware_isas"
    if [ -n "${RESI8_REQUIRE_DATA:-}" ]; then section "firmware, 200 pictures" firmware_pictures; fi
}
