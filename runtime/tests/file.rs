//! Model files that are read in parts: sessions are those of a file that is read as a whole, no weight is in memory twice, and whatever
//! happens to the file between two parts is an error.

mod common;

use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};

use common::table::section;
use common::{Builder, Outputs, Random, Values, WindowSpec, network, plans};
use resi8::format::records::LayerRecord;
use resi8::format::sections::SectionKind;
use resi8::format::write::Content;
use resi8::kernels::Kernels;
use resi8::model::Op;
use resi8::{
    AlignedBuf, Buffers, ChannelOrder, FileError, Isa, Layer, LoadError, Model, ModelFile, Plan, Problem,
    Resize, RunError, Session,
};

/// How a [`Source`] fails.
const FAILURE: ErrorKind = ErrorKind::StaleNetworkFileHandle;

/// A file in memory that counts what is read of it, and fails when `left` bytes have been.
struct Source {
    bytes: Cursor<Vec<u8>>,
    read: usize,
    left: usize,
}

impl Source {
    fn new(bytes: &[u8]) -> Self {
        Self { bytes: Cursor::new(bytes.to_vec()), read: 0, left: usize::MAX }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(FAILURE.into());
        }
        let len = buffer.len().min(self.left);
        let read = self.bytes.read(&mut buffer[..len])?;
        self.read += read;
        self.left -= read;
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

/// Whether an instruction set packs weights, so that they can be left out.
fn packs(isa: Isa) -> bool {
    Kernels::for_isa(isa).unwrap().direct.packing.is_some()
}

/// Networks, every other one with layers that run by rows, some with unused bytes before the weights of every layer, shorter than
/// these and longer, and some whose pictures are blue first and stretched.
fn files() -> impl Iterator<Item = Vec<u8>> {
    (0..20).map(|seed| {
        let mut content = network(seed, Values::Random);
        if seed % 4 < 2 {
            spread_weights(&mut content, &mut Random::new(seed));
        }
        if seed % 3 == 0 && content.preprocess.order == ChannelOrder::Rgb {
            (content.preprocess.order, content.preprocess.resize) = (ChannelOrder::Bgr, Resize::Stretch);
        }
        content.to_bytes().unwrap()
    })
}

/// Puts unused bytes before the weights of every layer.
fn spread_weights(content: &mut Content, random: &mut Random) {
    let has_weights = |layer: &&mut LayerRecord| [LayerRecord::CONV, LayerRecord::DENSE].contains(&layer.op);
    let mut added = 0;
    for layer in content.layers.iter_mut().filter(has_weights) {
        let (start, len) = (layer.weights as usize + added, random.pick(&[0, 1, 63, 64, 9000, 200_000]));
        content.weights.splice(start..start, std::iter::repeat_n(0x55, len));
        added += len;
        layer.weights = u32::try_from(start + len).unwrap();
    }
}

/// What a session has packed, and what it computes of its self-test's input.
fn results(
    plan: &Plan<'_>,
    begin: impl for<'m, 'b> FnOnce(Plan<'m>, Buffers<'b>) -> Session<'m, 'b>,
) -> (Vec<u8>, Vec<Vec<i32>>) {
    let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
    let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
    let mut session = begin(*plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() });
    let mut outputs = Outputs::default();
    session.set_self_test_input();
    session.run_observed(&mut outputs).unwrap();
    (packed.as_ref().to_vec(), outputs.0)
}

#[test]
fn sessions_are_those_of_a_whole_file() {
    for bytes in files() {
        for plan in plans(Model::parse(&bytes).unwrap()) {
            let expected = results(&plan, |plan, buffers| Session::new(plan, buffers).unwrap());
            let (mut source, isa) = (Source::new(&bytes), plan.kernels().isa);
            let file = ModelFile::read(&mut source, isa).unwrap();
            let in_parts = Plan::new(file.model(), isa).unwrap();
            let in_parts = in_parts.with_threads(plan.threads().try_into().unwrap()).unwrap();
            assert_eq!((in_parts.arena_len(), in_parts.packed_len()), (plan.arena_len(), plan.packed_len()));
            let described = |plan: &Plan<'_>| {
                let model = plan.model();
                (model.file_len(), model.macs(), model.operations(), model.parameters(), model.preprocess())
            };
            assert_eq!(described(&in_parts), described(&plan));
            assert!(
                results(&in_parts, |plan, buffers| Session::load(plan, buffers, &mut source).unwrap())
                    == expected,
                "{isa}, {} threads",
                plan.threads()
            );
        }
    }
}

#[test]
fn every_byte_is_read_once() {
    for (bytes, isa) in files().flat_map(|bytes| Isa::available().map(move |isa| (bytes.clone(), isa))) {
        let mut source = Source::new(&bytes);
        let file = ModelFile::read(&mut source, isa).unwrap();
        assert_eq!(file.model().file_len(), bytes.len());
        let of_conv = |layer: Layer<'_>| matches!(layer.op, Op::Conv(_)).then(|| layer.weight_count());
        let weights: usize = file.model().layers().filter_map(of_conv).sum();
        let left_out = bytes.len() - source.read;
        assert!(if packs(isa) { left_out >= weights } else { left_out == 0 });
        load(&file, isa, &mut source).unwrap();
        assert_eq!(source.read, bytes.len());
    }
}

/// Nothing is left out for kernels that are not here.
#[test]
fn other_instruction_sets() {
    let bytes = network(0, Values::Random).to_bytes().unwrap();
    for isa in Isa::ALL.iter().copied().filter(|isa| Kernels::for_isa(*isa).is_none()) {
        let file = ModelFile::read(&mut Source::new(&bytes), isa).unwrap();
        load(&file, Isa::Portable, &mut Source::new(&bytes)).unwrap();
    }
}

/// What is no weight is checked before there is a model.
#[test]
fn channel_records_are_checked_at_once() {
    let mut content = network(0, Values::Random);
    content.channels[0].mantissa = 0;
    let mut source = Source::new(&content.to_bytes().unwrap());
    let error = ModelFile::read(&mut source, Isa::best()).unwrap_err();
    assert!(matches!(error, FileError::Load(LoadError::Layer { index: 0, problem: Problem::Mantissa })));
}

#[test]
fn a_file_that_is_too_long() {
    struct Long;
    impl Read for Long {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    impl Seek for Long {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            Ok(if to == SeekFrom::End(0) { 1 << 32 } else { 0 })
        }
    }
    let error = ModelFile::read(&mut Long, Isa::best()).unwrap_err();
    let expected = if usize::BITS > 32 { LoadError::Magic.to_string() } else { "file too large".into() };
    assert_eq!(error.to_string(), expected);
}

/// Nothing is packed of a network without a convolution, nor of one with transformed weights.
#[test]
fn nothing_to_leave_out() {
    let mut b = Builder::new([4, 4, 3], Values::Random, 5);
    let pooled = b.average_pool(0);
    b.dense(pooled, 3);
    let without_convolution = b.finish();
    let mut behind_others = without_convolution.clone();
    behind_others.weights.splice(0..0, [0x55; 64]);
    behind_others.layers[1].weights = 64;
    let mut b = Builder::new([4, 4, 3], Values::Random, 5);
    let first = b.conv(0, 16, WindowSpec::POINT, None);
    let second = b.conv(first, 16, WindowSpec::SAME3, None);
    b.dense(second, 3);
    let transformed = b.finish().with_transformed(&[1]).unwrap();
    for (content, runs) in [(without_convolution, true), (behind_others, true), (transformed, false)] {
        let bytes = content.to_bytes().unwrap();
        for isa in Isa::available() {
            let mut source = Source::new(&bytes);
            let file = ModelFile::read(&mut source, isa).unwrap();
            load(&file, if runs { isa } else { Isa::Portable }, &mut source).unwrap();
            let mut damaged = bytes.clone();
            *damaged.last_mut().unwrap() ^= 1;
            let mut source = Source::new(&damaged);
            let result = ModelFile::read(&mut source, isa).and_then(|file| load(&file, isa, &mut source));
            assert!(matches!(result, Err(FileError::Load(LoadError::Checksum { .. }))), "{result:?}");
        }
    }
}

/// Begins a session.
fn load(file: &ModelFile, isa: Isa, source: &mut Source) -> Result<(), FileError> {
    let plan = Plan::new(file.model(), isa).unwrap();
    let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
    let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
    Session::load(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() }, source).map(drop)
}

#[test]
fn no_session_without_weights() {
    let bytes = network(0, Values::Random).to_bytes().unwrap();
    for isa in Isa::available().filter(|isa| packs(*isa)) {
        let mut source = Source::new(&bytes);
        let file = ModelFile::read(&mut source, isa).unwrap();
        let error = load(&file, Isa::Portable, &mut source).unwrap_err();
        assert!(matches!(error, FileError::Run(RunError::WeightsLeftOut)), "{error}");
        let plan = Plan::new(file.model(), isa).unwrap();
        let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
        let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
        let error = Session::new(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() });
        assert_eq!(error.unwrap_err(), RunError::WeightsLeftOut);
    }
}

/// With this CPU's best instruction set.
#[test]
fn a_file_that_fails_at_any_byte() {
    let (bytes, isa) = (network(0, Values::Random).to_bytes().unwrap(), Isa::best());
    let mut all = Source::new(&bytes);
    load(&ModelFile::read(&mut all, isa).unwrap(), isa, &mut all).unwrap();
    let mut parts = [0, 0];
    for left in 0..all.read {
        let mut source = Source { left, ..Source::new(&bytes) };
        let (part, error) = match ModelFile::read(&mut source, isa) {
            Ok(file) => (1, load(&file, isa, &mut source).unwrap_err()),
            Err(error) => (0, error),
        };
        assert!(matches!(&error, FileError::Io(error) if error.kind() == FAILURE), "{left} bytes: {error}");
        parts[part] += 1;
    }
    assert_eq!(parts[1] > 0, packs(isa));
}

#[test]
fn a_file_that_changes_between_two_parts() {
    let (bytes, isa) = (network(0, Values::Random).to_bytes().unwrap(), Isa::best());
    let mut source = Source::new(&bytes);
    let file = ModelFile::read(&mut source, isa).unwrap();
    if !packs(isa) {
        return load(&file, isa, &mut source).unwrap();
    }
    let weights = section(&bytes, SectionKind::Weights);
    let packed = weights.end - file.model().layers().last().unwrap().weight_count();
    for at in weights.clone().step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x80;
        let result = load(&file, isa, &mut Source::new(&changed));
        // Those of the dense layer at their end have been read before.
        let dense = at >= packed;
        match result {
            Err(FileError::Load(LoadError::Checksum { .. })) => assert!(!dense, "byte {at}"),
            result => assert!(dense && result.is_ok(), "byte {at}: {result:?}"),
        }
    }
    for len in [0, weights.start, weights.start + 1, packed - 1] {
        let error = load(&file, isa, &mut Source::new(&bytes[..len])).unwrap_err();
        let FileError::Load(error) = error else { panic!("{len}: {error}") };
        assert_eq!(error, LoadError::Length { expected: bytes.len() as u64, found: len as u64 });
    }
}
