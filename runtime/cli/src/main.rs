//! Runs resi8 models on the device.
fn main() {}
