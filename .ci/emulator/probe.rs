//! Checks the emulated processor itself: names the features that it reports, and compares the instructions that the
//! kernels rest on with loops, on random values. Exit code 1 if one of the two VNNI sets is missing.
//!
//!     rustc --edition 2024 -O -C target-feature=+crt-static .ci/emulator/probe.rs -o target/probe
//!     .ci/emulator/run.sh target/probe

use std::arch::x86_64::*;

const ROUNDS: usize = 1000;

/// xorshift64: no crate is at hand here.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> [u8; 64] {
        std::array::from_fn(|_| (self.next() >> 24) as u8)
    }
}

fn words(bytes: &[u8; 64]) -> [i32; 16] {
    std::array::from_fn(|i| i32::from_le_bytes(std::array::from_fn(|j| bytes[4 * i + j])))
}

fn halves(bytes: &[u8; 64]) -> [i16; 32] {
    std::array::from_fn(|i| i16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]))
}

fn dot_bytes(sum: i32, unsigned: &[u8], signed: &[u8]) -> i32 {
    (0..4).fold(sum, |sum, i| sum.wrapping_add(i32::from(unsigned[i]) * i32::from(signed[i] as i8)))
}

fn dot_halves(sum: i32, a: &[i16], b: &[i16]) -> i32 {
    (0..2).fold(sum, |sum, i| sum.wrapping_add(i32::from(a[i]) * i32::from(b[i])))
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes are there.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store(vector: __m512i) -> [u8; 64] {
    let mut bytes = [0; 64];
    // SAFETY: 64 bytes are there.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) };
    bytes
}

#[target_feature(enable = "avx512f")]
fn store_128(vector: __m128i) -> [u8; 16] {
    let mut bytes = [0; 16];
    // SAFETY: 16 bytes are there.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), vector) };
    bytes
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn check_avx512(random: &mut Random) {
    for _ in 0..ROUNDS {
        let (a, b, c, mask) = (random.bytes(), random.bytes(), random.bytes(), random.next());
        let (va, vb, vc) = (load(&a), load(&b), load(&c));
        let (wa, wb, wc) = (words(&a), words(&b), words(&c));
        let (ha, hb) = (halves(&a), halves(&b));
        let kept = |i: usize| mask >> i & 1 == 1;

        let got = words(&store(_mm512_dpbusd_epi32(vc, va, vb)));
        assert_eq!(got, std::array::from_fn(|i| dot_bytes(wc[i], &a[4 * i..], &b[4 * i..])), "dpbusd");

        let got = words(&store(_mm512_dpwssd_epi32(vc, va, vb)));
        assert_eq!(got, std::array::from_fn(|i| dot_halves(wc[i], &ha[2 * i..], &hb[2 * i..])), "dpwssd");

        let half = |v| _mm512_castsi512_si256(v);
        let got = words(&store(_mm512_castsi256_si512(_mm256_dpbusd_epi32(half(vc), half(va), half(vb)))));
        let want: [i32; 8] = std::array::from_fn(|i| dot_bytes(wc[i], &a[4 * i..], &b[4 * i..]));
        assert_eq!(got[..8], want, "dpbusd of 256 bits");

        let got = store_128(_mm512_cvtsepi32_epi8(va));
        assert_eq!(got, wa.map(|x| x.clamp(-128, 127) as u8), "pmovsdb");
        assert_eq!(store_128(_mm512_cvtepi32_epi8(va)), wa.map(|x| x as u8), "pmovdb");

        let got = words(&store(_mm512_permutexvar_epi32(vb, va)));
        assert_eq!(got, wb.map(|i| wa[(i & 15) as usize]), "permd");

        let got = words(&store(_mm512_mask_max_epi32(vb, mask as u16, va, vc)));
        let want = std::array::from_fn(|i| if kept(i) { wa[i].max(wc[i]) } else { wb[i] });
        assert_eq!(got, want, "masked pmaxsd");

        // SAFETY: 64 bytes are there.
        let got = store(unsafe { _mm512_maskz_loadu_epi8(mask, a.as_ptr().cast()) });
        assert_eq!(got, std::array::from_fn(|i| if kept(i) { a[i] } else { 0 }), "masked load");

        let mut got = c;
        // SAFETY: 64 bytes are there.
        unsafe { _mm512_mask_storeu_epi8(got.as_mut_ptr().cast(), mask, va) };
        assert_eq!(got, std::array::from_fn(|i| if kept(i) { a[i] } else { c[i] }), "masked store");
    }
}

#[target_feature(enable = "avx2,avxvnni")]
fn check_avx_vnni(random: &mut Random) {
    for _ in 0..ROUNDS {
        let (a, b, c) = (random.bytes(), random.bytes(), random.bytes());
        let sums = words(&c);
        let mut got = [0; 8];
        // SAFETY: 32 bytes are there, behind each pointer.
        unsafe {
            let load = |bytes: &[u8; 64]| _mm256_loadu_si256(bytes.as_ptr().cast());
            let sum = _mm256_dpbusd_avx_epi32(load(&c), load(&a), load(&b));
            _mm256_storeu_si256(got.as_mut_ptr().cast(), sum);
        }
        assert_eq!(got, std::array::from_fn(|i| dot_bytes(sums[i], &a[4 * i..], &b[4 * i..])), "VEX dpbusd");
    }
}

fn main() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let avx512 = ["f", "bw", "vl", "dq", "vnni"]
        .into_iter()
        .zip([
            is_x86_feature_detected!("avx512f"),
            is_x86_feature_detected!("avx512bw"),
            is_x86_feature_detected!("avx512vl"),
            is_x86_feature_detected!("avx512dq"),
            is_x86_feature_detected!("avx512vnni"),
        ])
        .inspect(|(name, present)| println!("avx512{name}: {present}"))
        .fold(true, |all, (_, present)| all & present);
    let avx_vnni = is_x86_feature_detected!("avxvnni");
    println!("avxvnni: {avx_vnni}");
    if avx512 {
        // SAFETY: the processor has all of it.
        unsafe { check_avx512(&mut random) };
        println!("AVX-512 instructions agree with loops");
    }
    if avx_vnni {
        // SAFETY: the processor has it.
        unsafe { check_avx_vnni(&mut random) };
        println!("AVX-VNNI agrees with a loop");
    }
    if !(avx512 && avx_vnni) {
        std::process::exit(1);
    }
}
