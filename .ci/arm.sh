# shellcheck shell=bash
# Sourced by test.sh: the runtime on ARM processors, emulated by user-mode QEMU.

# Processors of boards, as QEMU calls them, and the instruction sets that must be found on each.
readonly arm_cpus="
aarch64-unknown-linux-gnu      cortex-a53   portable,neon
aarch64-unknown-linux-gnu      cortex-a72   portable,neon
aarch64-unknown-linux-gnu      cortex-a76   portable,neon,neon-dotprod
aarch64-unknown-linux-gnu      max          portable,neon,neon-dotprod,neon-i8mm
armv7-unknown-linux-gnueabihf  cortex-a15   portable,neon
"

can_emulate_arm() {
    [ "$(uname -m)" = x86_64 ] && have dpkg
}

# on_arm TARGET CPU PROGRAM ARGUMENT...: runs a program on an emulated processor.
on_arm() {
    local qemu=qemu-aarch64-static
    case $1 in armv7-*) qemu=qemu-arm-static ;; esac
    "$qemu" -cpu "$2" "${@:3}"
}

# The test programs of the runtime that run on every processor.
readonly arm_programs="kernel_check whole_model file"

# arm_tests TARGET: builds them without dynamic libraries; leaves the path of each in a file.
arm_tests() {
    local triple=$1 name built tests=()
    for name in $arm_programs; do tests+=(--test "$name"); done
    built=$(RUSTFLAGS=-Ctarget-feature=+crt-static cross_cargo "$triple" test --no-run --release --locked -p resi8 --features write \
        "${tests[@]}" --target-dir "$target/arm" --message-format json)
    for name in $arm_programs; do test_program "$name" <<<"$built" >"$target/arm-$name-$triple"; done
}

# Builds the tests and the tool for a target, whole programs without dynamic libraries.
arm_build() {
    local triple=$1
    install_linker "$triple"
    apt_install qemu-user-static
    arm_tests "$triple"
    firmware-examples/raspberry-pi/build.sh "$triple" >"$target/arm-tool-$triple"
}

# Every kernel of a processor, then a whole model, files in parts, then the instruction sets that it lacks: asking for one is an error.
arm_check() {
    local triple=$1 cpu=$2 isas=$3 isa tool
    tool=$(cat "$target/arm-tool-$triple")
    RESI8_EXPECT_ISAS=$isas RESI8_KERNEL_CASES=3000 \
        on_arm "$triple" "$cpu" "$(cat "$target/arm-kernel_check-$triple")" --show-output
    RESI8_EXPECT_ISAS=$isas on_arm "$triple" "$cpu" "$(cat "$target/arm-whole_model-$triple")" --show-output
    on_arm "$triple" "$cpu" "$(cat "$target/arm-file-$triple")"
    for isa in neon neon-dotprod neon-i8mm avx2; do
        [[ ,$isas, == *,$isa,* ]] || refuses "$triple" "$cpu" "$tool" "$isa"
    done
    arm_networks "$triple" "$cpu" "$isas" "$tool"
}

# refuses TARGET CPU TOOL ISA
refuses() {
    local said
    if said=$(on_arm "$1" "$2" "$3" selftest --isa "$4" runtime/tests/models/resnet8.r8 2>&1); then
        echo "$2 ran $4, which it does not have"
        return 1
    fi
    echo "$said"
    grep -q "error: .*$4" <<<"$said"
}

# Trained networks, converted on this machine: every layer must give the same bytes on a processor, with every instruction
# set of it; ResNet-18, which is slow when emulated, with the best one.
arm_networks() {
    local triple=$1 cpu=$2 isas=$3 tool=$4 model
    for model in "$target"/arm-models/*.r8; do
        echo "$model"
        case $model in
            *resnet18.r8) on_arm "$triple" "$cpu" "$tool" selftest --isa "${isas##*,}" --threads 1 "$model" ;;
            *) on_arm "$triple" "$cpu" "$tool" selftest --threads 2 "$model" ;;
        esac
    done
}

# Converts the networks that arm_networks runs: those of the data folder, if there is one.
arm_models() {
    local out=$target/arm-models cifar photos
    rm -rf "$out"
    mkdir -p "$out"
    cp runtime/tests/models/resnet8.r8 "$out"
    if [ -z "${RESI8_REQUIRE_DATA:-}" ]; then
        echo "SKIPPED: trained networks on ARM, there is no data"
        return
    fi
    cifar=$RESI8_DATA/cifar10/train_calib_1000.bin
    photos=$target/arm-photos
    rm -rf "$photos"
    mkdir -p "$photos"
    find "$RESI8_DATA/imagenet/calib256" -type f | sort | sed -n 1,12p | xargs cp --target-directory "$photos"
    "$target/release/resi8" convert "$RESI8_DATA/models/resnet8_mlperf_cifar10.onnx" --preprocess raw \
        --calibration "$cifar" -o "$out/resnet8-mlperf.r8"
    "$target/release/resi8" convert "$RESI8_DATA/models/resnet8_mlperf_cifar10.onnx" --preprocess raw --low-memory \
        --calibration "$cifar" -o "$out/resnet8-mlperf-low-memory.r8"
    "$target/release/resi8" convert "$RESI8_DATA/models/resnet20_cifar10.onnx" --mean 0.485,0.456,0.406 \
        --std 0.229,0.224,0.225 --calibration "$cifar" -o "$out/resnet20.r8"
    "$target/release/resi8" convert "$RESI8_DATA/models/resnet18_imagenet.onnx" --preprocess imagenet \
        --calibration "$photos" -o "$out/resnet18.r8"
}

# `run` of ResNet-18 with a photo needs at most 8 MiB besides the arena and the packed weights.
arm_memory() {
    local photos=("$target"/arm-photos/*)
    apt_install python3 time
    benches/arm/memory.py "resnet18=$target/arm-models/resnet18.r8" --picture "${photos[0]}" --limit 8 \
        --binary "$(cat "$target/arm-tool-aarch64-unknown-linux-gnu")"
}

# All of it: a section for every target and every processor.
arm_sections() {
    local triple cpu isas built=
    if ! can_emulate_arm; then
        printf '\nSKIPPED: ARM. The cross compilers and QEMU are Debian packages.\n'
        row "ARM processors, emulated" "NOT ON THIS SYSTEM: SKIPPED"
        return
    fi
    section "networks for ARM" arm_models
    while read -r triple cpu isas; do
        [ -n "$triple" ] || continue
        if [ "$triple" != "$built" ]; then section "build for ${triple%%-*}" arm_build "$triple"; fi
        built=$triple
        section "${triple%%-*} $cpu" arm_check "$triple" "$cpu" "$isas"
        arm_rows "${triple%%-*} $cpu" "$isas"
    done <<<"$arm_cpus"
    if [ -n "${RESI8_REQUIRE_DATA:-}" ]; then section "memory on aarch64" arm_memory; fi
}

# A row for every instruction set that was checked on a processor; one that was not is a failure.
arm_rows() {
    local isa log
    log=$(log_of "$1")
    for isa in ${2//,/ }; do
        if grep -q "^kernel_check: $isa ran" "$log" && grep -q "^whole model: $isa with" "$log"; then
            row "kernels: $isa" "checked on $1"
        else
            row "kernels: $isa" "NOT CHECKED on $1"
            failures=$((failures + 1))
        fi
    done
}
