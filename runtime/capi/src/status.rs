//! What every function returns.
#![allow(unsafe_code, reason = "symbols that C finds")]

use core::ffi::{CStr, c_char};

use resi8::{LoadError, PlanError, RunError};

/// Result of a call; `resi8_status` in C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A pointer is NULL.
    Null = 1,
    /// A pointer is not aligned.
    Misaligned = 2,
    /// A length reaches past the address space.
    Length = 3,
    /// Two buffers share memory.
    Overlap = 4,
    /// The handle's memory is too small.
    HandleTooSmall = 5,
    /// The handle is not initialised, or its memory was written or moved.
    Handle = 6,
    /// The handle is in use by a call that has not returned.
    Busy = 7,
    /// The call does not fit what was called before.
    Order = 8,
    /// Not a model.
    NotAModel = 9,
    /// A model of another format version.
    FormatVersion = 10,
    /// The model is shorter or longer than it says.
    ModelLength = 11,
    /// The model's checksum is wrong.
    Checksum = 12,
    /// The model's content breaks a rule of the format.
    BadModel = 13,
    /// The model needs more memory than can be addressed.
    TooLarge = 14,
    /// The arena is too small.
    ArenaTooSmall = 15,
    /// The number of values is not that of the input.
    InputLength = 16,
    /// There is no layer or class of that number.
    Index = 17,
    /// The model has no labels.
    NoLabels = 18,
    /// The self-test failed.
    SelfTest = 19,
    /// The model has changed while it was in use.
    ModelChanged = 20,
    /// The model's weights are transformed for another processor.
    OtherTarget = 21,
}

impl Status {
    /// All of them: entry `i` has the value `i`.
    const ALL: [Self; 22] = [
        Self::Ok,
        Self::Null,
        Self::Misaligned,
        Self::Length,
        Self::Overlap,
        Self::HandleTooSmall,
        Self::Handle,
        Self::Busy,
        Self::Order,
        Self::NotAModel,
        Self::FormatVersion,
        Self::ModelLength,
        Self::Checksum,
        Self::BadModel,
        Self::TooLarge,
        Self::ArenaTooSmall,
        Self::InputLength,
        Self::Index,
        Self::NoLabels,
        Self::SelfTest,
        Self::ModelChanged,
        Self::OtherTarget,
    ];

    const fn text(self) -> &'static CStr {
        match self {
            Self::Ok => c"done",
            Self::Null => c"a pointer is NULL",
            Self::Misaligned => c"a pointer is not aligned",
            Self::Length => c"a length reaches past the end of the address space",
            Self::Overlap => c"two buffers share memory",
            Self::HandleTooSmall => c"the handle's memory is too small: is the header that of this library?",
            Self::Handle => c"the handle is not initialised, or its memory was written or moved",
            Self::Busy => c"the handle is in use by a call that has not returned",
            Self::Order => c"this call does not fit what was called before",
            Self::NotAModel => c"not a resi8 model",
            Self::FormatVersion => {
                c"a model of another format version: convert the network again with the converter of this version"
            }
            Self::ModelLength => c"the model is shorter or longer than it says",
            Self::Checksum => c"the model's checksum is wrong: the file is damaged",
            Self::BadModel => c"the model breaks a rule of the format",
            Self::TooLarge => c"the model needs more memory than can be addressed",
            Self::ArenaTooSmall => c"the arena is smaller than resi8_arena_size says",
            Self::InputLength => c"the number of values is not that of the input",
            Self::Index => c"there is no layer or class of that number",
            Self::NoLabels => c"the model has no labels",
            Self::SelfTest => c"self-test: a layer gives other values than on the machine that converted the model",
            Self::ModelChanged => c"the model has changed while it was in use",
            Self::OtherTarget => c"the model was converted for another processor: convert without --target",
        }
    }
}

impl From<LoadError> for Status {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Magic => Self::NotAModel,
            LoadError::Version { .. } => Self::FormatVersion,
            LoadError::Length { .. } => Self::ModelLength,
            LoadError::Checksum { .. } => Self::Checksum,
            _ => Self::BadModel,
        }
    }
}

impl From<PlanError> for Status {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::OtherTarget { .. } => Self::OtherTarget,
            _ => Self::TooLarge,
        }
    }
}

impl From<RunError> for Status {
    fn from(error: RunError) -> Self {
        match error {
            RunError::ArenaTooSmall { .. } | RunError::PackedTooSmall { .. } => Self::ArenaTooSmall,
            RunError::Misaligned { .. } => Self::Misaligned,
            RunError::InputLength { .. } => Self::InputLength,
            RunError::SelfTest { .. } => Self::SelfTest,
            _ => Self::ModelChanged,
        }
    }
}

/// The status of a finished call.
pub(crate) fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(Status::Ok)
}

/// The text of a status, which lives as long as the program; numbers that are none have one too.
#[unsafe(no_mangle)]
pub extern "C" fn resi8_status_text(status: i32) -> *const c_char {
    let known = usize::try_from(status).ok().and_then(|index| Status::ALL.get(index));
    known.map_or(c"unknown status", |status| status.text()).as_ptr()
}

/// Version of the interface: 65536 * major + 256 * minor + patch.
pub const VERSION: u32 = 0x0000_0100;

/// The version that the library was built with, [`VERSION`].
#[unsafe(no_mangle)]
pub extern "C" fn resi8_version() -> u32 {
    VERSION
}
