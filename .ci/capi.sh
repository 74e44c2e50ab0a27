# shellcheck shell=bash
# Sourced by test.sh: the C library, its misuse, and the firmware in C on emulated microcontrollers.

readonly capi=runtime/capi
readonly cortex_m_c=firmware-examples/cortex-m-c
readonly strict=(-Wall -Wextra -Werror -pedantic)

# Installs the library as its users do; the model that all tests in C use is next to it.
capi_build() {
    rm -rf "$target/capi"
    "$capi/install.sh" "$target/capi/prefix"
    "$target/release/examples/tiny_model" "$target/capi/tiny.r8"
}

# The header compiles without a warning, alone, in both languages.
capi_header() {
    echo '#include <resi8.h>' >"$target/capi/header.c"
    cc -std=c11 "${strict[@]}" -I$capi/include -fsyntax-only "$target/capi/header.c"
    c++ -std=c++17 "${strict[@]}" -I$capi/include -fsyntax-only -x c++ "$target/capi/header.c"
}

# capi_misuse LIBRARY: everything that a caller can do wrong, with memory that faults behind every buffer, and with
# AddressSanitizer in the caller.
capi_misuse() {
    local library=$1 flags=(-std=c11 "${strict[@]}" -g -O1 "-fsanitize=address,undefined" -fno-sanitize-recover=all)
    cc "${flags[@]}" -I$capi/include $capi/tests/host.c $capi/tests/misuse.c "$library" -lpthread -ldl -lm \
        -o "$target/capi/misuse"
    "$target/capi/misuse" "$target/capi/tiny.r8"
}

# The same with the library itself instrumented, with overflow checks and debug assertions. The option is unstable, so it is
# for this test only; the sanitizer's own library is that of the C compiler.
capi_misuse_instrumented() {
    local triple out=$target/capi/instrumented
    triple=$(rustc --print host-tuple)
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo build --locked -p resi8-capi --target "$triple" --target-dir "$out"
    capi_misuse "$out/$triple/debug/libresi8.a"
    nm "$target/capi/misuse" | grep __asan_report_load1 >/dev/null
}

# Two small projects find the installed library, one by CMake and one by pkg-config, after it was moved.
capi_consumers() {
    local moved=$target/capi/moved out=$target/capi/consumer model=runtime/tests/models/resnet8.r8 found flags
    have cmake || apt_install cmake
    have pkg-config || apt_install pkg-config
    rm -rf "$moved" "$out" "$out-newer"
    cp -r "$target/capi/prefix" "$moved"
    cmake -S $capi/tests/consumer -B "$out" -DCMAKE_PREFIX_PATH="$moved" -DCMAKE_BUILD_TYPE=Release
    cmake --build "$out"
    if cmake -S $capi/tests/consumer -B "$out-newer" -DCMAKE_PREFIX_PATH="$moved" -DRESI8_WANTED=0.2; then
        echo "CMake took version 0.1 for 0.2"
        return 1
    fi
    flags=$(PKG_CONFIG_PATH=$moved/lib/pkgconfig pkg-config --cflags --libs resi8)
    # shellcheck disable=SC2086 # words, as pkg-config means them
    cc -std=c11 "${strict[@]}" $capi/tests/consumer/main.c $flags -o "$out/by-pkg-config"
    found=$("$out/consumer" "$model")
    echo "$found"
    [ "$("$out/consumer_cxx" "$model")" = "$found" ]
    [ "$("$out/by-pkg-config" "$model")" = "$found" ]
    grep -q "^class [0-9] of 10" <<<"$found"
}

# Cores, and the most bytes of code, without the network, and of stack that the example may have on each: what it takes and 3 %. Of the
# code, 1.7 kB are the example's and newlib's; of the stack, 80 bytes.
readonly cortex_m_cores="
m3   28500 1084
m4   28770 1092
m7   28770 1092
m33  28770 1092
m55  35290 1792
"

# cortex_m CORE CODE_BYTES STACK_BYTES: builds and runs the example. The class is that which hosts find, its limits are kept, and the
# program has no way to panic or to format a message.
cortex_m() {
    local core=$1 log=$target/capi/cortex-$1.log image=$cortex_m_c/build/$1/firmware.elf
    CONVERTER=$target/release/resi8 "$cortex_m_c/run.sh" "$core" | tee "$log"
    grep -q "^class: $(capi_class)$" "$log"
    at_most() {
        local found
        found=$(sed -n "s/^$1: //p" "$log")
        echo "$1: $found, at most $2"
        [ "$found" -le "$2" ]
    }
    at_most "code bytes" "$2"
    at_most "stack bytes" "$3"
    at_most "arena bytes" 24576
    if arm-none-eabi-nm "$image" | grep -E 'panic|fmt'; then
        echo "there are ways to panic in $image"
        return 1
    fi
}

# The class of the example's picture on this machine.
capi_class() {
    first_picture converter/models/calibration/drawn_128.bin >"$target/capi/picture.rgb"
    "$target/release/examples/classify" runtime/tests/models/resnet8.r8 <"$target/capi/picture.rgb" |
        sed -nE '1s/.* class ([0-9]+) .*/\1/p'
}

# The program compiles as C++17, by CMake.
cortex_m_cmake() {
    local out=$target/capi/cmake-m7
    rm -rf "$out"
    cmake -S $cortex_m_c -B "$out" -DCORE=m7 -DAS_CXX=ON -DCMAKE_TOOLCHAIN_FILE="$PWD/$cortex_m_c/board/arm-none-eabi.cmake" \
        -DCMAKE_PREFIX_PATH="$PWD/$cortex_m_c/build/m7/resi8" -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=NEVER
    cmake --build "$out"
    on_cortex_m m7 "$out/firmware.elf"
}

# on_cortex_m CORE IMAGE
on_cortex_m() {
    local machine
    machine=$(sed -n 's/^MACHINE := //p' "$cortex_m_c/board/$1.mk")
    timeout 300 qemu-system-arm -machine "$machine" -display none -monitor none -serial none \
        -semihosting-config enable=on,target=native -kernel "$2" 2>&1
}

# The test of misuse as the program of a microcontroller.
cortex_m_misuse() {
    local core=$1 board=$cortex_m_c/board out=$target/capi/misuse-$1.elf core_flags memory log=$target/capi/misuse-$1.log
    read -ra core_flags < <(sed -n 's/^CORE_FLAGS := //p' "$board/$core.mk")
    memory=$(sed -n 's/^MEMORY := //p' "$board/$core.mk")
    arm-none-eabi-gcc "${core_flags[@]}" -mthumb -std=c11 -O1 "${strict[@]}" -DBOARD_CLOCK_HZ=25000000u \
        -DTINY_MODEL="\"$target/capi/tiny.r8\"" -DPICTURES='"converter/models/calibration/drawn_128.bin"' \
        -I$capi/include -I$board -L$board -T"$memory.ld" -nostartfiles --specs=nano.specs -Wl,--gc-sections,-z,noexecstack \
        $capi/tests/board.c $capi/tests/misuse.c $capi/tests/tiny_model.S $board/startup.c $board/picture.S \
        "$cortex_m_c/build/$core/resi8/lib/libresi8.a" -o "$out"
    on_cortex_m "$core" "$out" | tee "$log"
    grep -q '^misuse: failures: 0$' "$log"
}

capi_sections() {
    local core code_bytes stack_bytes
    section "C library: build and install" capi_build
    section "C library: header in C11 and C++17" capi_header
    section "C library: misuse on the host" capi_misuse "$target/capi/prefix/lib/libresi8.a"
    section "C library: misuse, all under AddressSanitizer" capi_misuse_instrumented
    section "C library: CMake and pkg-config" capi_consumers
    if ! can_emulate_arm; then
        printf '\nSKIPPED: FIRMWARE IN C. The cross compiler and QEMU are Debian packages.\n'
        row "firmware in C, emulated" "NOT ON THIS SYSTEM: SKIPPED"
        return
    fi
    while read -r core code_bytes stack_bytes; do
        [ -n "$core" ] || continue
        section "firmware in C: Cortex-${core^^}" cortex_m "$core" "$code_bytes" "$stack_bytes" </dev/null
        section "C library: misuse, Cortex-${core^^}" cortex_m_misuse "$core" </dev/null
    done <<<"$cortex_m_cores"
    section "firmware in C: CMake, C++17" cortex_m_cmake
}
