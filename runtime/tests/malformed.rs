//! Damaged files: truncated at every length, changed in every byte, with and without a checksum that fits, give an
//! error or a model that runs. Nothing panics and nothing leaves its buffers (the runtime has no unsafe code here).

mod common;

use std::io::Cursor;

use common::table::{section, set_entry};
use common::{Builder, SkipSpec, Values, WindowSpec, network};
use resi8::format::records::{ChannelRecord, TensorRecord, WindowRecord};
use resi8::format::sections::{ENTRY_LEN, HEADER_LEN, SectionKind};
use resi8::format::write::{Content, seal};
use resi8::{AlignedBuf, Buffers, FileError, Isa, LoadError, Model, ModelFile, Plan, Session};

/// The smallest model with every kind of record.
fn tiny() -> Content {
    let mut b = Builder::new([4, 5, 3], Values::Random, 5);
    let stem = b.conv(0, 3, WindowSpec::SAME3, None);
    let pooled = b.max_pool(stem, WindowSpec { kernel: [2, 2], stride: [2, 2], pads: [0; 4] });
    let inner = b.conv(pooled, 2, WindowSpec::POINT, None);
    let skip = SkipSpec { tensor: pooled, stride: 1, channel: 0, in_place: true };
    let block = b.conv(inner, 3, WindowSpec::SAME3, Some(skip));
    let mean = b.average_pool(block);
    b.dense(mean, 3);
    let mut content = b.finish();
    content.names = ["stem", "pool", "inner", "block", "mean", "fc"].map(String::from).to_vec();
    content.labels = ["cat", "dog", "frog"].map(String::from).to_vec();
    content.info = "source: a test".into();
    content
}

/// Parses and, when the file is accepted and its arena is of a sane size, runs it. What reads a file in parts finds the same.
fn try_everything(file: &[u8]) -> Result<(), LoadError> {
    let model = Model::parse(file);
    check_loading(file, model.map(drop));
    let model = model?;
    let names: usize = (0..model.layer_count()).map(|layer| model.layer_name(layer).len()).sum();
    let labels: usize = (0..model.output().c()).filter_map(|class| model.label(class)).map(str::len).sum();
    assert!(names + labels <= file.len());
    assert_eq!(model.layers().count(), model.layer_count());
    assert_eq!(model.tensors().count(), model.layer_count() + 1);
    let Ok(plan) = Plan::new(model, Isa::Portable) else { return Ok(()) };
    if plan.arena_len() < 1 << 20 && model.operations() < 1 << 22 {
        let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
        let mut session = Session::new(plan, Buffers { arena: arena.as_mut(), packed: &mut [] }).unwrap();
        session.set_self_test_input();
        session.run().unwrap();
    }
    Ok(())
}

#[test]
fn truncated_at_every_length() {
    let file = tiny().to_bytes().unwrap();
    assert_eq!(try_everything(&file), Ok(()));
    for length in 0..file.len() {
        let error = try_everything(&file[..length]).unwrap_err();
        assert!(matches!(error, LoadError::Length { .. }), "{length} bytes: {error}");
        let mut resealed = file[..length].to_vec();
        if length >= 20 {
            resealed[12..16].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            seal(&mut resealed);
        }
        assert!(try_everything(&resealed).is_err(), "{length} bytes, sealed again");
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    let file = tiny().to_bytes().unwrap();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            assert!(try_everything(&changed).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn any_changed_byte_with_a_checksum_that_fits() {
    let (mut accepted, mut refused) = (0, 0);
    for content in [tiny(), tiny_with_fused_pool(), tiny_with_transformed_weights(), tiny_by_rows()] {
        let file = content.to_bytes().unwrap();
        for at in 0..file.len() {
            for value in
                [0x00, 0x01, 0x7f, 0x80, 0xff, file[at] ^ 1, file[at] ^ 0x80, file[at].wrapping_add(1)]
            {
                let mut changed = file.clone();
                changed[at] = value;
                seal(&mut changed);
                match try_everything(&changed) {
                    Ok(()) => accepted += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    println!("{accepted} changed files were still models and ran, {refused} were refused");
    assert!(accepted > 0 && refused > 0);
}

#[test]
fn several_changed_bytes_with_a_checksum_that_fits() {
    let files = [
        tiny(),
        tiny_with_fused_pool(),
        tiny_with_transformed_weights(),
        tiny_by_rows(),
        network(2, Values::Random),
        network(1, Values::Random),
    ]
    .map(|content| content.to_bytes().unwrap());
    let mut random = common::Random::new(11);
    for round in 0..300_000 {
        let mut changed = files[round % files.len()].clone();
        // Aim at the header, the section table and the records: weights are almost always fine.
        for _ in 0..random.size(1, 4) {
            let at = random.size(0, changed.len().min(700) - 1);
            changed[at] = random.i8().cast_unsigned();
        }
        seal(&mut changed);
        let _ = try_everything(&changed);
    }
}

/// Each change breaks one rule; the error names its place.
#[test]
fn each_rule_is_checked() {
    let cases: &[(&str, Change)] = &[
        ("tensor 1: does not start at a multiple of 64", |c| c.tensors[1].offset += 4),
        ("tensor 1: ends past the activations", |c| c.tensors[1].offset = 1 << 20),
        ("tensor 2: has no values", |c| c.tensors[2].c = 0),
        ("tensor 2: its scale is not a positive number", |c| c.tensors[2].scale = f32::NAN),
        ("tensor 2: its last use is not a layer that could read it", |c| c.tensors[2].last_use = 6),
        ("tensor 2: only the last tensor may hold int32 values", |c| c.tensors[2].element = 1),
        ("tensor 6: the logits must outlive the run", |c| c.tensors[6].last_use = 5),
        ("tensor 6: the last tensor must hold int32 logits", |c| c.tensors[6].element = 0),
        ("tensor 6: logits have one row and one column", |c| (c.tensors[6].w, c.tensors[6].c) = (3, 1)),
        ("tensor 6: logits have no zero point", |c| c.tensors[6].zero_point = 1),
        ("section 3 (layers): a model has 1 to 4096 layers", |c| c.layers.clear()),
        ("layer 5: the last layer and no other must be dense", |c| c.layers[5].op = c.layers[4].op),
        ("layer 4: the last layer and no other must be dense", |c| c.layers[4].op = c.layers[5].op),
        ("layer 0: names a tensor that is not there", |c| c.layers[0].input = 7),
        ("layer 0: its operation is unknown to this build", |c| c.layers[0].op = 9),
        ("layer 0: reads a tensor that is written later", |c| c.layers[0].input = 1),
        ("layer 2: reads a tensor after its last use", |c| c.layers[2].input = 1),
        ("layer 3: reads a tensor after its last use", |c| c.tensors[2].last_use = 2),
        ("layer 0: its kernel must have 1 to 16 rows and columns", |c| c.layers[0].window.kernel[0] = 0),
        ("layer 0: its stride must be 1 to 16", |c| c.layers[0].window.stride[1] = 0),
        ("layer 0: its padding must be smaller than its kernel", |c| c.layers[0].window.pads[0] = 3),
        ("layer 0: its kernel is larger than its padded input", |c| c.layers[0].window.kernel = [7, 3]),
        ("layer 0: its output has the wrong size", |c| c.tensors[1].w = 4),
        ("layer 0: its smallest output is above its largest", |c| {
            (c.layers[0].low, c.layers[0].high) = (1, 0)
        }),
        ("layer 0: its weights are not in the file or not in order", |c| c.layers[0].weights = 1 << 30),
        ("layer 0: its channel records are not in the file or not in order", |c| {
            c.layers[0].channels = 1 << 30
        }),
        ("layer 2: its weights are not in the file or not in order", |c| c.layers[2].weights -= 1),
        ("layer 2: its channel records are not in the file or not in order", |c| c.layers[2].channels -= 1),
        ("section 1 (graph): its size of the activations is not where the furthest tensor ends", |c| {
            c.graph.activation_bytes += 1
        }),
        ("section 8 (names): holds a control character", |c| c.names[0] = "\u{1b}[2J".into()),
        ("section 10 (info): is longer than 1 MiB", |c| c.info = "x".repeat((1 << 20) + 1)),
        ("layer 0: a weight is -128", |c| c.weights[5] = -128),
        ("layer 0: its weight sum is not that of its weights", |c| c.layers[0].weight_sum += 1),
        ("layer 5: its weight sum is not that of its weights", |c| c.layers[5].weight_sum -= 1),
        ("layer 1: a pooling has no weights to sum", |c| c.layers[1].weight_sum = 1),
        ("layer 4: a pooling has no weights to sum", |c| c.layers[4].weight_sum = 1),
        ("layer 0: an accumulator can wrap", |c| c.channels[1].bias = i32::MIN),
        ("layer 0: an accumulator can wrap", |c| c.channels[1].bias = (1 << 30) - 3000),
        ("layer 0: a multiplier's mantissa is not in [2^30, 2^31)", |c| c.channels[1].mantissa = 1 << 29),
        ("layer 0: a multiplier's shift is not in [2, 30]", |c| c.channels[1].shift = 1),
        ("layer 0: a multiplier's shift is not in [2, 30]", |c| c.channels[1].shift = 31),
        ("layer 0: a channel without a shortcut has a shortcut multiplier", |c| {
            c.channels[1].skip_multiplier = 1
        }),
        ("layer 0: has shortcut fields but no shortcut", |c| c.layers[0].skip_stride = 1),
        ("layer 0: a convolution does not shift its accumulator", |c| c.layers[0].acc_shift = 1),
        ("layer 1: a max pooling keeps scale and zero point", |c| c.tensors[2].scale *= 2.0),
        ("layer 1: a pooling keeps the number of channels", |c| c.tensors[2].c = 2),
        ("layer 4: a pooling keeps the number of channels", |c| c.tensors[5].c = 2),
        ("layer 4: a global average has one row and one column", |c| {
            (c.tensors[5].w, c.tensors[5].c) = (3, 1);
        }),
        ("layer 1: only a convolution can have a shortcut", |c| c.layers[1].skip = 0),
        ("layer 3: its shortcut has more than 8 fraction bits", |c| c.layers[3].skip_shift = 9),
        ("layer 3: its shortcut's stride must be 1 to 16", |c| c.layers[3].skip_stride = 0),
        ("layer 3: its shortcut has the wrong size", |c| c.layers[3].skip_stride = 2),
        ("layer 3: its shortcut has too many channels", |c| c.layers[3].skip_channel = 1),
        ("layer 3: a shortcut multiplier can wrap", |c| c.channels[6].skip_multiplier = 1 << 24),
        ("layer 4: an accumulator can wrap", |c| c.layers[4].acc_shift = 25),
        ("layer 5: an accumulator can wrap", |c| c.layers[5].acc_shift = 29),
        ("tensor 0: has other channels than the preprocessing", |c| {
            c.preprocess.order = resi8::ChannelOrder::Gray
        }),
        ("tensor 0: the input must be raw pixels: scale 1, zero point -128", |c| c.tensors[0].zero_point = 0),
        ("section 6 (preprocessing): its pixel scale is not a positive number", |c| {
            c.preprocess.pixel_scale = 0.0;
        }),
        ("section 6 (preprocessing): a mean is not a number", |c| c.preprocess.mean[1] = f32::INFINITY),
        ("section 6 (preprocessing): a standard deviation is not a positive number", |c| {
            c.preprocess.std[1] = 0.0
        }),
        ("section 7 (self-test): there must be a seed and one hash a layer", |c| {
            c.self_test_hashes.truncate(1)
        }),
        ("section 7 (self-test): the seed must not be 0", |c| c.self_test_seed = 0),
        ("section 8 (names): does not hold one name a layer", |c| c.names.truncate(1)),
        ("section 9 (labels): does not hold one label a class", |c| c.labels.truncate(1)),
        ("section 2 (tensors): there must be one tensor more than layers", |c| c.tensors.truncate(6)),
        ("tensor 3: shares memory with a tensor that is still in use", |c| {
            c.tensors[3].offset = c.tensors[2].offset
        }),
        ("tensor 4: shares memory with a tensor that is still in use", |c| {
            c.tensors[4].offset = c.tensors[3].offset
        }),
    ];
    check_rules(tiny, cases);
}

/// Rules that a [`Content`] cannot break: each change is one of the file, which is sealed again.
#[test]
fn each_rule_of_the_bytes_is_checked() {
    let cases: &[(&str, ChangeOfBytes)] = &[
        ("section 1 (graph): the section table is cut short", |f| set_len(f, HEADER_LEN + 4)),
        ("section 1 (graph): ends past the file", |f| set_len(f, HEADER_LEN + ENTRY_LEN)),
        ("section 1 (graph): is missing or not in its place in the section table", |f| {
            set_entry(f, SectionKind::Graph, 0, SectionKind::Tensors as u32);
        }),
        ("section 2 (tensors): does not start where the section before it ends", |f| {
            let behind = section(f, SectionKind::Tensors).start + 4;
            set_entry(f, SectionKind::Tensors, 1, u32::try_from(behind).unwrap());
        }),
        ("section 5 (weights): ends past the file", |f| set_entry(f, SectionKind::Weights, 2, 1 << 20)),
        ("section 5 (weights): the bytes before it are not 0", |f| {
            let before = section(f, SectionKind::Weights).start - 1;
            f[before] = 1;
        }),
        ("section 10 (info): does not end with the file", |f| set_len(f, f.len() + 4)),
        ("section 1 (graph): does not hold exactly one record", |f| {
            set_entry(f, SectionKind::Graph, 2, 0);
        }),
        ("section 2 (tensors): is not a whole number of records", |f| {
            let len = u32::try_from(section(f, SectionKind::Tensors).len()).unwrap();
            set_entry(f, SectionKind::Tensors, 2, len - 4);
        }),
        ("section 9 (labels): is not UTF-8", |f| set_byte(f, SectionKind::Labels, 0, 0xff)),
        ("section 6 (preprocessing): its channel order is unknown", |f| {
            set_byte(f, SectionKind::Preprocess, 0, 9)
        }),
        ("section 6 (preprocessing): its resize is unknown", |f| set_byte(f, SectionKind::Preprocess, 1, 9)),
        ("tensor 1: its unused bytes are not 0", |f| {
            set_byte(f, SectionKind::Tensors, 2 * TensorRecord::LEN - 1, 1)
        }),
        ("layer 0: the unused bytes of a channel record are not 0", |f| {
            set_byte(f, SectionKind::Channels, ChannelRecord::LEN - 1, 1)
        }),
    ];
    check_files(cases.iter().map(|(expected, change)| {
        let mut file = tiny().to_bytes().unwrap();
        change(&mut file);
        seal(&mut file);
        (*expected, file)
    }));
}

type ChangeOfBytes = fn(&mut Vec<u8>);

/// Cuts a file or fills it up, and its header says so.
fn set_len(file: &mut Vec<u8>, len: usize) {
    file.resize(len, 0);
    file[12..16].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
}

/// Changes a byte of a section.
fn set_byte(file: &mut [u8], kind: SectionKind, at: usize, value: u8) {
    let start = section(file, kind).start;
    file[start + at] = value;
}

type Change = fn(&mut Content);

/// Makes each change to a model of its own, and compares the error.
fn check_rules(model: fn() -> Content, cases: &[(&str, Change)]) {
    check_files(cases.iter().map(|(expected, change)| {
        let mut content = model();
        change(&mut content);
        (*expected, content.to_bytes().unwrap())
    }));
}

/// A file that is read in parts gives the same error, or a session, unless that needs very much memory.
fn check_loading(bytes: &[u8], expected: Result<(), LoadError>) {
    let (source, isa) = (&mut Cursor::new(bytes), Isa::best());
    let error = match ModelFile::read(source, isa) {
        Ok(file) => match Plan::new(file.model(), isa) {
            Ok(plan) if plan.arena_len() < 1 << 20 => {
                let [mut arena, mut packed] =
                    [plan.arena_len(), plan.packed_len()].map(|len| AlignedBuf::new(len).unwrap());
                let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
                Session::load(plan, buffers, source).err()
            }
            Ok(_) => return,
            Err(_) => None,
        },
        Err(error) => Some(error),
    };
    let found = error.map_or(Ok(()), |error| match error {
        FileError::Load(error) => Err(error),
        error => panic!("{error}"),
    });
    assert_eq!(found, expected);
}

/// Compares the error that each file gives, and shows all that are others.
fn check_files<'a>(files: impl Iterator<Item = (&'a str, Vec<u8>)>) {
    let mut wrong = Vec::new();
    for (expected, file) in files {
        let model = Model::parse(&file);
        check_loading(&file, model.map(drop));
        let found = model.map_or_else(|error| error.to_string(), |_| "accepted".into());
        if found != expected {
            wrong.push(format!("expected `{expected}`, found `{found}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first layer of [`tiny`] with a pooling of its own in place of the second layer.
fn tiny_with_fused_pool() -> Content {
    let mut b = Builder::new([4, 5, 3], Values::Random, 5);
    let pool = WindowSpec { kernel: [2, 3], stride: [2, 1], pads: [1, 0, 0, 2] };
    let pooled = b.conv_pool(0, 3, WindowSpec::SAME3, pool);
    let mean = b.average_pool(pooled);
    b.dense(mean, 3);
    b.finish()
}

#[test]
fn rules_of_fused_pools() {
    let cases: &[(&str, Change)] = &[
        ("accepted", |_| ()),
        ("layer 0: its pooling window must have 1 to 16 rows and columns", |c| {
            c.layers[0].pool.kernel[0] = 0
        }),
        ("layer 0: its pooling window must have 1 to 16 rows and columns", |c| {
            c.layers[0].pool.kernel = [0; 2]
        }),
        ("layer 0: its pooling window must have 1 to 16 rows and columns", |c| {
            c.layers[0].pool.kernel[1] = 17
        }),
        ("layer 0: the stride of its pooling must be 1 to 16", |c| c.layers[0].pool.stride[0] = 0),
        ("layer 0: the stride of its pooling must be 1 to 16", |c| c.layers[0].pool.stride[1] = 17),
        ("layer 0: the padding of its pooling must be smaller than the window", |c| {
            c.layers[0].pool.pads[2] = 2
        }),
        ("layer 0: its pooling window is larger than the padded map", |c| c.layers[0].pool.kernel[0] = 6),
        ("layer 0: its output has the wrong size", |c| c.layers[0].pool.stride[0] = 1),
        ("layer 0: its output has the wrong size", |c| c.layers[0].pool = WindowRecord::NONE),
        ("layer 0: a convolution with a pooling has no shortcut", |c| {
            (c.layers[0].skip, c.layers[0].skip_stride) = (0, 1);
            (c.tensors[1].h, c.tensors[1].w) = (4, 5);
        }),
        ("layer 1: only a convolution can have a pooling", |c| c.layers[1].pool = c.layers[0].pool),
        ("layer 2: only a convolution can have a pooling", |c| c.layers[2].pool.pads[3] = 1),
        ("layer 0: what its pooling reads has more than 65535 rows or columns", |c| {
            (c.tensors[0].w, c.layers[0].window.pads) = (65535, [2; 4]);
            c.tensors[0].offset = c.graph.activation_bytes.next_multiple_of(64);
            c.graph.activation_bytes = c.tensors[0].offset + 4 * 65535 * 3;
        }),
    ];
    check_rules(tiny_with_fused_pool, cases);
}

/// A block of two convolutions with transformed weights, the second one with a shortcut.
fn tiny_with_transformed_weights() -> Content {
    let mut b = Builder::new([4, 4, 3], Values::Random, 5);
    let stem = b.conv(0, 16, WindowSpec::POINT, None);
    let inner = b.conv(stem, 16, WindowSpec::SAME3, None);
    let skip = SkipSpec { tensor: stem, stride: 1, channel: 0, in_place: true };
    let block = b.conv(inner, 16, WindowSpec::SAME3, Some(skip));
    let pooled = b.max_pool(block, WindowSpec { kernel: [2, 2], stride: [1, 1], pads: [0; 4] });
    b.dense(pooled, 3);
    b.finish().with_transformed(&[1, 2]).unwrap()
}

#[test]
fn rules_of_transformed_weights() {
    let geometry = "layer 1: only a 3x3 convolution of stride 1 with whole tiles of 2x2 outputs, a multiple of 16 input channels \
                    and no pooling has transformed weights";
    let not_transformed = "layer 1: its transformed weights are not those of int8 weights from -127 to 127";
    let cases: &[(&str, Change)] = &[
        ("accepted", |_| ()),
        (geometry, |c| {
            (c.layers[1].window.kernel, c.layers[1].window.pads) = ([1, 1], [0; 4]);
        }),
        (geometry, |c| {
            (c.tensors[2].h, c.tensors[2].w) = (2, 2);
            c.layers[1].window.stride = [2, 2];
        }),
        (geometry, |c| c.tensors[1].c = 8),
        (geometry, |c| {
            c.tensors[2].h = 3;
            c.layers[1].window.pads[0] = 0;
        }),
        (geometry, |c| {
            c.layers[1].pool = WindowRecord { kernel: [1, 1], stride: [1, 1], pads: [0; 4] };
        }),
        (not_transformed, |c| flip_weight(c, 1, 0)),
        (not_transformed, |c| flip_weight(c, 1, 16 * 7 + 3)),
        (not_transformed, |c| flip_weight(c, 1, 16 * 16 * 15)),
        ("layer 1: its weight sum is not that of its weights", |c| c.layers[1].weight_sum += 1),
        ("layer 1: its transformed weights do not start at a multiple of 4 bytes in memory", |c| {
            c.weights.insert(0, 0);
            c.layers.iter_mut().for_each(|layer| layer.weights += 1);
        }),
        ("layer 1: an accumulator can wrap", |c| {
            c.channels[c.layers[1].channels as usize].bias = 1 << 28;
        }),
        ("layer 3: only a convolution can have a shortcut", |c| c.layers[3].skip = 0),
        (
            "layer 1: only a convolution without a pooling and without transformed weights, whose shortcut is not its input, can run by rows",
            |c| c.tensors[2].kept_rows = 4,
        ),
        ("layer 0: a weight is -128", |c| c.weights[5] = -128),
        ("layer 2: its weights are not in the file or not in order", |c| c.layers[2].weights -= 4),
    ];
    check_rules(tiny_with_transformed_weights, cases);
}

/// Changes the lowest bit of one of a layer's transformed weights.
fn flip_weight(content: &mut Content, layer: usize, weight: usize) {
    content.weights[content.layers[layer].weights as usize + 2 * weight] ^= 1;
}

/// A block whose first convolution is streamed to the second, which overwrites what the first one reads; and one of three convolutions
/// whose output lies on its input too, which half as many rows leave.
fn tiny_by_rows() -> Content {
    let mut b = Builder::new([6, 5, 3], Values::Random, 5);
    let stem = b.conv(0, 16, WindowSpec::SAME3, None);
    let inner = b.conv(stem, 3, WindowSpec::SAME3, None);
    let skip = SkipSpec { tensor: stem, stride: 1, channel: 0, in_place: true };
    let block = b.conv(inner, 16, WindowSpec::SAME3, Some(skip));
    let half = WindowSpec { stride: [2, 2], ..WindowSpec::SAME3 };
    let inner = b.conv(block, 4, half, None);
    let projection = b.conv(block, 4, WindowSpec { stride: [2, 2], ..WindowSpec::POINT }, None);
    let skip = SkipSpec { tensor: projection, stride: 1, channel: 0, in_place: false };
    let block = b.conv(inner, 4, WindowSpec::SAME3, Some(skip));
    let mean = b.average_pool(block);
    b.dense(mean, 3);
    let mut content = b.finish();
    for (tensor, rows) in [(2, 3), (4, 3), (5, 1)] {
        content.tensors[tensor].kept_rows = rows;
    }
    content.tensors[6].offset = content.tensors[3].offset;
    content
}

#[test]
fn rules_of_layers_that_run_by_rows() {
    const TOO_FEW: &str = "layer 1: of its streamed output too few rows are kept, or more than 16";
    const SHARED: &str = "tensor 6: shares memory with a tensor that is still in use";
    let cases: &[(&str, Change)] = &[
        ("accepted", |_| ()),
        ("accepted", |c| c.tensors[2].kept_rows = 4),
        (TOO_FEW, |c| c.tensors[2].kept_rows = 2),
        (TOO_FEW, |c| {
            (c.tensors[2].kept_rows, c.tensors[2].offset) =
                (17, c.graph.activation_bytes.next_multiple_of(64));
            c.graph.activation_bytes = c.tensors[2].offset + 17 * 5 * 3;
        }),
        ("tensor 0: only a tensor between two layers can be streamed", |c| c.tensors[0].kept_rows = 1),
        ("tensor 8: only a tensor between two layers can be streamed", |c| c.tensors[8].kept_rows = 1),
        ("layer 1: a streamed tensor has one reader, in the same group of layers", |c| {
            c.tensors[2].last_use = 3;
        }),
        ("layer 4: a streamed tensor has one reader, in the same group of layers", |c| {
            (c.layers[4].input, c.tensors[4].last_use) = (4, 5);
        }),
        (
            "layer 1: only a convolution without a pooling and without transformed weights, whose shortcut is not its input, can run by rows",
            |c| c.layers[1].pool = WindowRecord { kernel: [1; 2], stride: [1; 2], pads: [0; 4] },
        ),
        ("layer 2: the last row of its streamed output is not read", |c| {
            c.tensors[3].kept_rows = 3;
            c.tensors[3].offset = c.graph.activation_bytes.next_multiple_of(64);
            c.graph.activation_bytes = c.tensors[3].offset + 3 * 5 * 16;
        }),
        ("tensor 3: shares memory with a tensor that is still in use", |c| {
            c.tensors[3].offset = c.tensors[1].offset + 64;
        }),
        ("accepted", |c| c.tensors[6].offset += 128),
        (SHARED, |c| c.tensors[6].offset += 192),
        (SHARED, |c| c.tensors[6].offset = c.tensors[4].offset),
    ];
    check_rules(tiny_by_rows, cases);
}

#[test]
fn at_most_four_layers_run_together() {
    let chain = || {
        let mut b = Builder::new([4, 5, 3], Values::Random, 5);
        let map = (0..6).fold(0, |map, _| b.conv(map, 3, WindowSpec::SAME3, None));
        let mean = b.average_pool(map);
        b.dense(mean, 3);
        b.finish()
    };
    let cases: &[(&str, Change)] = &[
        ("accepted", |c| c.tensors[1..=3].iter_mut().for_each(|tensor| tensor.kept_rows = 3)),
        ("layer 3: a group of more than 4 layers runs by rows", |c| {
            c.tensors[1..=4].iter_mut().for_each(|tensor| tensor.kept_rows = 3);
        }),
    ];
    check_rules(chain, cases);
}

#[test]
fn another_version_is_refused_by_name() {
    let mut file = tiny().to_bytes().unwrap();
    file[8] = 7;
    assert_eq!(Model::parse(&file).unwrap_err(), LoadError::Version { found: 7, supported: 3 });
}
