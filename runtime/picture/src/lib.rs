//! Pictures to model input.
