#!/usr/bin/env bash
# Runs a statically linked Linux program on an emulated processor, with instructions that this machine's may lack.
#
#     .ci/emulator/run.sh [OPTION...] BINARY [ARGUMENT...]
#
# --cpu MODEL        a processor of Bochs, by default sapphire_rapids: AVX-512 F, BW, VL, DQ, VNNI and AVX-VNNI
# --env NAME=VALUE   sets a variable; the program sees no others of this shell
# --file PATH        puts the file into the program's working directory
# --timeout SECONDS  real seconds until the run is given up, by default 1200
#
# Build the binary with RUSTFLAGS=-Ctarget-feature=+crt-static and --target x86_64-unknown-linux-gnu. Its output, both
# streams in one, is passed on as it comes; a line that was not ended is. The exit code is the program's, 128 and more
# after a signal, and 125 if the emulator itself failed. Expect a few seconds until the program starts and some ten
# million vector instructions a second from then on; the clock inside is not this machine's.
#
# The first run installs a compiler (Debian, with cargo's rustc in PATH), builds Bochs from Debian's source and takes
# a kernel from Debian, all into target/emulator.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root
readonly cache=${CARGO_TARGET_DIR:-$root/target}/emulator

# Debian releases of known behaviour, whatever release this machine has.
readonly bochs_release=trixie
readonly kernel_release=bookworm

readonly memory=$((512 << 20))
readonly block=$((8 << 20))
readonly parameters_at=$((0x10000))
readonly command_line_at=$((0x20000))
readonly kernel_at=$((0x100000))
# Above where the kernel unpacks itself: from 16 MiB on, 52 MiB.
readonly files_at=$((96 << 20))

# - No ACPI, PCI or APIC: the emulated machine has no firmware that would describe them.
# - Time from the timer's ticks alone: the processor's counter runs at another rate than it says.
# - amx_tile, fsrm: incomplete in the emulated processor; with them the kernel crashes.
# - The rest leaves out what costs time and that no test program needs.
readonly command_line="quiet panic=-1 reboot=t rdinit=/init acpi=off pci=off nolapic noapic nosmp
    notsc clocksource=jiffies nohz=off highres=off lpj=20000 idle=halt clearcpuid=amx_tile,fsrm
    nokaslr mitigations=off nopti no5lvl numa=off lsm= audit=0 nowatchdog cryptomgr.notests
    rcupdate.rcu_expedited=1 cgroup_disable=memory ipv6.disable=1
    initcall_blacklist=trace_eval_init,init_kprobe_trace"

die() {
    echo "emulator: $*" >&2
    exit 125
}

have() {
    command -v "$1" >/dev/null
}

# --- What is needed -------------------------------------------------------------------------------------------------

install_tools() {
    local as_root=()
    if have make && have g++ && have as && have xz; then return; fi
    have apt-get || die "needs make, g++, binutils and xz, and there is no apt-get to install them"
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
    "${as_root[@]}" apt-get update
    "${as_root[@]}" apt-get install -y --no-install-recommends make g++ binutils xz-utils
}

# private_apt COMMAND...: an apt command of its own, so that this machine's sources stay as they are. It uses the
# mirror that this machine's apt uses.
private_apt() {
    APT_CONFIG=$cache/apt/apt.conf "$@"
}

prepare_apt() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
        sort -u | head -n 1)
    [ -n "$mirror" ] || die "found no Debian mirror among apt's sources"
    mkdir -p "$cache"/apt/{lists/partial,archives/partial,sources}
    cat >"$cache/apt/sources/debian.sources" <<END
Types: deb deb-src
URIs: $mirror
Suites: $bochs_release $kernel_release
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
    cat >"$cache/apt/apt.conf" <<END
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$cache/apt/sources";
Dir::State::lists "$cache/apt/lists";
Dir::Cache "$cache/apt";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
END
    private_apt apt-get update
}

build_bochs() {
    local work=$cache/bochs-build
    if [ -x "$cache/bochs" ]; then return; fi
    install_tools
    prepare_apt
    rm -rf "$work"
    mkdir -p "$work"
    (
        cd "$work"
        private_apt apt-get source --download-only "bochs/$bochs_release"
        tar -xf bochs_*.orig.tar.* --strip-components=1
        # No window, no sound, no network: a processor, memory and a timer.
        CFLAGS="-O2 -w" CXXFLAGS="-O2 -fno-plt -w" ./configure --enable-cpu-level=6 --enable-x86-64 --enable-avx \
            --enable-evex --enable-amx --enable-all-optimizations --enable-long-phy-address \
            --enable-protection-keys --enable-cet --enable-uintr --enable-pci --disable-docbook --disable-plugins \
            --disable-xpm --disable-assert-checks --disable-stats --enable-show-ips --with-nogui --without-x \
            --without-wx --without-sdl --without-sdl2
        make -j"$(nproc)"
    )
    strip -o "$cache/bochs.new" "$work/bochs"
    mv "$cache/bochs.new" "$cache/bochs"
    rm -rf "$work"
}

fetch_kernel() {
    local work=$cache/kernel package
    if [ -f "$cache/vmlinuz" ]; then return; fi
    prepare_apt
    package=$(private_apt apt-cache show "linux-image-cloud-amd64/$kernel_release" |
        sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n 1)
    [ -n "$package" ] || die "found no kernel package"
    rm -rf "$work"
    mkdir -p "$work"
    (cd "$work" && private_apt apt-get download "$package" && dpkg-deb -x linux-image-*.deb .)
    mv "$work"/boot/vmlinuz-* "$cache/vmlinuz"
    rm -rf "$work"
}

build_rom() {
    if [ "$cache/reset.bin" -nt "$here/reset.s" ] && [ "$cache/reset.bin" -nt "$here/run.sh" ]; then return; fi
    as --32 --defsym "MEMORY=$memory" --defsym "BLOCK=$block" "$here/reset.s" -o "$cache/reset.o"
    ld -m elf_i386 -Ttext=0 --oformat binary "$cache/reset.o" -o "$cache/reset.bin"
    # Bochs wants a video ROM; this one holds no code.
    head -c 2048 /dev/zero >"$cache/video.bin"
}

build_init() {
    if [ "$cache/init" -nt "$here/init.rs" ]; then return; fi
    rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols "$here/init.rs" -o "$cache/init.new"
    mv "$cache/init.new" "$cache/init"
}

# --- The memory image -----------------------------------------------------------------------------------------------

# The number as COUNT bytes, the lowest first.
little_endian() {
    local number=$1 count=$2 i
    for ((i = 0; i < count; i++)); do
        printf "\\x$(printf %02x $((number >> (8 * i) & 255)))"
    done
}

# put ADDRESS: writes standard input into the image.
put() {
    dd of="$image" conv=notrunc bs=1M oflag=seek_bytes iflag=fullblock seek="$1" status=none
}

byte_of_kernel() {
    od -An -tu1 -j"$1" -N1 "$cache/vmlinuz" | tr -d ' '
}

# e820 START LENGTH: a range of usable memory, as firmware would list it.
e820() {
    little_endian "$1" 8
    little_endian "$2" 8
    little_endian 1 4
}

# The kernel and its parameters, as its 32-bit boot protocol wants them.
put_kernel() {
    local setup header
    setup=$((($(byte_of_kernel $((0x1f1))) + 1) * 512))
    header=$((0x202 + $(byte_of_kernel $((0x201))) - 0x1f1))
    dd if="$cache/vmlinuz" iflag=skip_bytes,count_bytes skip=$((0x1f1)) count="$header" status=none |
        put $((parameters_at + 0x1f1))
    printf '\xff\xff' | put $((parameters_at + 0x1fa)) # no video mode
    printf '\xff' | put $((parameters_at + 0x210))     # a boot loader without a number
    little_endian "$files_at" 4 | put $((parameters_at + 0x218))
    little_endian "$command_line_at" 4 | put $((parameters_at + 0x228))
    little_endian 2 1 | put $((parameters_at + 0x1e8))
    { e820 0 $((0x9fc00)); e820 "$kernel_at" $((memory - kernel_at)); } | put $((parameters_at + 0x2d0))
    printf '%s\0' "${command_line//$'\n'/ }" | put "$command_line_at"
    tail -c +$((setup + 1)) "$cache/vmlinuz" | put "$kernel_at"
}

zeros() {
    head -c "$1" /dev/zero
}

# archive_entry NAME MODE [FILE]: one entry of a cpio archive in the format that the kernel reads.
archive_entry() {
    local name=$1 mode=$2 file=${3:-} size=0
    if [ -n "$file" ]; then size=$(stat -Lc %s "$file"); fi
    printf '070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\0' \
        0 "$mode" 0 0 1 0 "$size" 0 0 0 0 $((${#name} + 1)) 0 "$name"
    zeros $(((4 - (110 + ${#name} + 1) % 4) % 4))
    if [ -n "$file" ]; then cat "$file"; fi
    zeros $(((4 - size % 4) % 4))
}

# The files of the emulated Linux.
archive() {
    local name file
    for name in proc sys dev tmp files; do
        archive_entry "$name" $((0040755))
    done
    archive_entry init $((0100755)) "$cache/init"
    archive_entry program $((0100755)) "$program"
    archive_entry arguments $((0100644)) "$run/arguments"
    archive_entry environment $((0100644)) "$run/environment"
    for file in ${files[@]+"${files[@]}"}; do
        archive_entry "files/$(basename "$file")" $((0100644)) "$file"
    done
    archive_entry 'TRAILER!!!' 0
}

make_image() {
    local size
    printf '%s\0' ${arguments[@]+"${arguments[@]}"} >"$run/arguments"
    if ((${#arguments[@]} == 0)); then : >"$run/arguments"; fi
    printf '%s\0' ${environment[@]+"${environment[@]}"} >"$run/environment"
    if ((${#environment[@]} == 0)); then : >"$run/environment"; fi
    archive >"$run/archive"
    size=$(stat -c %s "$run/archive")
    # Linux unpacks the files into the same memory.
    ((files_at + 2 * size < memory)) || die "the program and its files are too large: $size bytes"
    truncate -s "$files_at" "$image"
    put_kernel
    little_endian "$size" 4 | put $((parameters_at + 0x21c))
    cat "$run/archive" >>"$image"
}

# --- The run --------------------------------------------------------------------------------------------------------

# Few instructions a second of emulated time, so that the kernel's waits are short. What Bochs would report at times
# (info) can block it for ever, since it is reported from within a signal.
write_configuration() {
    cat >"$run/bochsrc" <<END
config_interface: textconfig
display_library: nogui
cpu: model=$cpu, count=1, ips=20000000, reset_on_triple_fault=0
memory: guest=$((memory >> 20)), host=$((memory >> 20)), block_size=$((block >> 10))
romimage: file=$cache/reset.bin
vgaromimage: file=$cache/video.bin
optramimage1: file=$image, address=0x0
vga: extension=none, update_freq=1
boot: disk
floppy_bootsig_check: disabled=1
ata0: enabled=0
ata1: enabled=0
com1: enabled=0
speaker: enabled=0
clock: sync=none, time0=1700000000
port_e9_hack: enabled=1
log: $run/log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
END
}

# Passes on the lines between init's two markers, and keeps the second.
relay() {
    sed -un -e '/^@@ emulated program starts$/,/^@@ emulated program ends [0-9]*$/{
        /^@@ emulated program starts$/d
        /^@@ emulated program ends [0-9]*$/{
            w '"$run/end"'
            d
        }
        p
    }'
}

emulate() {
    local code
    write_configuration
    timeout --foreground --kill-after=5 "$limit" \
        "$cache/bochs" -q -f "$run/bochsrc" </dev/null 2>"$run/errors" | relay || true
    code=$(sed -n 's/^@@ emulated program ends //p' "$run/end")
    if [ -z "$code" ]; then
        tail -n 20 "$run/log" "$run/errors" >&2 || true
        die "the program did not come to its end within $limit s (or the emulator stopped, see above)"
    fi
    return "$code"
}

parse() {
    while [[ ${1:-} == --* ]]; do
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --cpu) cpu=$2 ;;
        --env) environment+=("$2") ;;
        --file) files+=("$2") ;;
        --timeout) limit=$2 ;;
        *) die "unknown option $1" ;;
        esac
        shift 2
    done
    [ $# -ge 1 ] || die "no program given, see the head of $0"
    program=$1
    shift
    arguments=("$@")
    [ -f "$program" ] || die "no such program: $program"
}

# One at a time: runs that start together shall not build twice.
prepare() {
    local status
    mkdir -p "$cache"
    # Not as part of a condition, in which the shell would go on after a failure.
    set +e
    (
        set -e
        flock 9
        build_bochs
        fetch_kernel
        build_rom
        build_init
    ) 9>"$cache/lock" >"$cache/prepare.log" 2>&1
    status=$?
    set -e
    if ((status != 0)); then
        tail -n 30 "$cache/prepare.log" >&2
        die "could not be prepared, see above and $cache/prepare.log"
    fi
}

cpu=sapphire_rapids
limit=1200
environment=()
files=()
arguments=()
parse "$@"
prepare
run=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
image=$run/image
make_image
emulate
