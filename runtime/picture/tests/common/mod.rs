//! Shared by the tests: preprocessing descriptions.

use resi8::{ChannelOrder, Preprocess, Resize};

/// ImageNet's normalisation with the given geometry and channel order.
pub(crate) fn preprocess(order: ChannelOrder, resize: Resize) -> Preprocess {
    Preprocess {
        order,
        resize,
        pixel_scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406, 0.0],
        std: [0.229, 0.224, 0.225, 1.0],
    }
}
