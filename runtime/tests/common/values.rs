//! Test data. Without the standard library, so that firmware can use it.

/// xorshift64*: enough for test data, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn step(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// In `low..=high`.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.step() % (high - low + 1) as u64) as i64
    }

    pub fn size(&mut self, low: usize, high: usize) -> usize {
        self.range(low as i64, high as i64) as usize
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.size(0, choices.len() - 1)]
    }

    pub fn i8(&mut self) -> i8 {
        self.range(-128, 127) as i8
    }

    /// Bell-shaped with a standard deviation of 32: a sum of six uniform values.
    pub fn bell(&mut self) -> i64 {
        let [values @ .., _, _] = self.step().to_le_bytes();
        let sum: i64 = values.into_iter().map(i64::from).sum();
        ((sum - 6 * 255 / 2) * 32 + 90).div_euclid(181)
    }
}

/// How weights and pixels are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    Random,
    Lowest,
    Highest,
    Alternating,
    /// As trained networks have them: weights are bell-shaped, and so are sums before a ReLU.
    Bell,
}

impl Values {
    pub const ALL: [Self; 5] = [Self::Random, Self::Lowest, Self::Highest, Self::Alternating, Self::Bell];

    pub fn get(self, random: &mut Random, index: usize, lowest: i8) -> i8 {
        match self {
            Self::Random => random.i8().max(lowest),
            Self::Lowest => lowest,
            Self::Highest => 127,
            Self::Alternating => [lowest, 127][index % 2],
            Self::Bell => random.bell().clamp(lowest.into(), 127) as i8,
        }
    }
}
