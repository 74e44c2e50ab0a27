#!/usr/bin/env bash
# Builds the C library and installs it with its header and what pkg-config and CMake need to find it.
#
#     runtime/capi/install.sh PREFIX [TARGET [ARGUMENT OF CARGO]...]
#
#     runtime/capi/install.sh /usr/local                                    for this machine
#     runtime/capi/install.sh build/m7 thumbv7em-none-eabihf                for firmware
#
# The tree may be moved afterwards: the files in it name no absolute path.
set -euo pipefail

if [ $# -lt 1 ]; then
    sed -n '2,/^set/ { /^#/ s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
mkdir -p "$1"
prefix=$(realpath "$1")
triple=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. .ci/cross.sh

readonly build=(build --locked -p resi8-capi "${@:3}")
out=${CARGO_TARGET_DIR:-$PWD/target}
case $triple in
    "")
        cargo "${build[@]}" --profile dist
        library=$out/dist/libresi8.a
        ;;
    *-none-*)
        cross_cargo "$triple" "${build[@]}" --profile firmware
        library=$out/$triple/firmware/libresi8.a
        ;;
    *)
        cross_cargo "$triple" "${build[@]}" --profile dist
        library=$out/$triple/dist/libresi8.a
        ;;
esac

# The libraries of the system that Rust's standard library needs.
system_libraries() {
    case $triple in *-none-*) return ;; esac
    rustc --print native-static-libs ${triple:+--target "$triple"} --crate-type staticlib --crate-name none \
        -o "$out/none.a" - <<<'' 2>&1 | sed -n 's/^note: native-static-libs: //p'
}

version=$(sed -nE '/^\[workspace.package\]/,/^\[workspace.dep/ s/^version = "(.*)"/\1/p' Cargo.toml)
libraries=$(system_libraries)

# fill_in TEMPLATE FILE
fill_in() {
    sed -e "s/@VERSION@/$version/" -e "s/@SYSTEM_LIBRARIES@/$libraries/" "runtime/capi/templates/$1" >"$2"
}

mkdir -p "$prefix/include" "$prefix/lib/pkgconfig" "$prefix/lib/cmake/resi8"
cp runtime/capi/include/resi8.h "$prefix/include/"
cp "$library" "$prefix/lib/"
fill_in resi8.pc.in "$prefix/lib/pkgconfig/resi8.pc"
fill_in resi8-config.cmake.in "$prefix/lib/cmake/resi8/resi8-config.cmake"
fill_in resi8-config-version.cmake.in "$prefix/lib/cmake/resi8/resi8-config-version.cmake"
echo "$prefix"
