# shellcheck shell=bash
# Sourced by scripts that build for other processors: installing packages, and cargo with a standard library for a target.

have() {
    command -v "$1" >/dev/null
}

# apt_install PACKAGE...: those that are missing, on Debian and Ubuntu.
apt_install() {
    local as_root=()
    dpkg --status "$@" >/dev/null 2>&1 && return
    have apt-get || { echo "cannot install $*: there is no apt-get here"; return 1; }
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
}

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER=arm-linux-gnueabihf-gcc
export CARGO_TARGET_ARMV7_UNKNOWN_LINUX_MUSLEABIHF_LINKER=arm-linux-gnueabihf-gcc

# The linker and the C library of a target.
install_linker() {
    case $1 in
        aarch64-*) apt_install gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;;
        armv7-*) apt_install gcc-arm-linux-gnueabihf libc6-dev-armhf-cross ;;
    esac
}

# Whether there is a prebuilt standard library for a target; rustup installs it if it can.
prebuilt() {
    compgen -G "$(rustc --print target-libdir --target "$1")/libcore-*.rlib" >/dev/null && return
    have rustup && timeout --kill-after=5 60 rustup target add "$1"
}

# The distribution's Rust, which can build the standard library from its source package.
readonly distribution_rust=(rustc-web cargo-web rust-web-src rust-web-clippy)

# source_cargo TARGET COMMAND ARGUMENT...: cargo for a target with the distribution's Rust and a standard library built from
# source, without the code that prints backtraces; for microcontrollers that is `core` unless BUILD_STD says otherwise.
# `cross_libdir` is where prebuilt libraries would be.
source_cargo() {
    local triple=$1 command=$2 std=(-Zbuild-std=std,panic_abort -Zbuild-std-features=panic-unwind) linker=() variable
    variable=CARGO_TARGET_$(tr 'a-z.-' 'A-Z__' <<<"$triple")
    shift 2
    case $triple in
        thumb*)
            std=(-Zbuild-std="${BUILD_STD:-core}")
            # The linker that rustup's toolchains bring along is not among the distribution's.
            apt_install binutils-arm-none-eabi
            linker=("${variable}_LINKER=arm-none-eabi-ld")
            ;;
        riscv32*)
            std=(-Zbuild-std="${BUILD_STD:-core}")
            apt_install binutils-riscv64-unknown-elf
            linker=("${variable}_LINKER=riscv64-unknown-elf-ld" "${variable}_RUSTFLAGS=-Clink-arg=-melf32lriscv")
            ;;
    esac
    cross_libdir=$(/usr/bin/rustc --print target-libdir --target "$triple")
    env "${linker[@]}" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo "$command" "${std[@]}" --target "$triple" "$@"
}

# cross_cargo TARGET COMMAND ARGUMENT...: cargo for a target, with rustup's standard library where its servers are in reach.
cross_cargo() {
    local triple=$1 command=$2
    if prebuilt "$triple"; then
        cross_libdir=$(rustc --print target-libdir --target "$triple")
        cargo "$command" --target "$triple" "${@:3}"
    else
        apt_install "${distribution_rust[@]}"
        source_cargo "$@"
    fi
}
