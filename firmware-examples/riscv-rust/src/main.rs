//! A ResNet on a 32-bit RISC-V microcontroller: model in flash, one static arena, no heap.
//!
//! Prints the class of a picture, what the network needs, and how many instructions an inference takes. Started with the name of
//! a file of CIFAR-10 records as its command line, it prints the class of each of them instead, one a line.
#![no_std]
#![no_main]

mod board;

use board::{Host, Instructions};
use resi8::{Buffers, Isa, Layer, Model, Observer, Output, Plan, RunError, Session};
use static_cell::ConstStaticCell;

/// Room for the activations and scratch of ResNet-8. A model that needs more is refused with the number it needs.
const ARENA_LEN: usize = 36 * 1024;

/// Aligned as the arena and the weights in a model file want it.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static ARENA: ConstStaticCell<Aligned<[u8; ARENA_LEN]>> = ConstStaticCell::new(Aligned([0; ARENA_LEN]));
static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.r8")));
/// One picture of a file: its label, then planes of red, green and blue.
static RECORD: ConstStaticCell<[u8; 1 + 3 * 1024]> = ConstStaticCell::new([0; 1 + 3 * 1024]);
static LAYERS: ConstStaticCell<Layers> =
    ConstStaticCell::new(Layers { start: Instructions::START, elapsed: [0; 32] });
static PICTURE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/picture.rgb"));

/// What can go wrong, a stage each.
#[derive(Clone, Copy)]
enum Failure {
    Load,
    Plan,
    Run(RunError),
    Host,
    Memory,
}

#[riscv_rt::entry]
fn main() -> ! {
    board::paint_stack();
    let mut host = Host::new();
    let result = run(&mut host);
    match &result {
        Ok(()) => {}
        Err(Failure::Load) => host.line("error: the model is refused", &[]),
        Err(Failure::Plan) => host.line("error: the model does not fit the address space", &[]),
        Err(Failure::Run(RunError::ArenaTooSmall { needed, .. })) => {
            host.line("error: bytes of arena needed", &[*needed as u32]);
        }
        Err(Failure::Run(RunError::SelfTest { layer, .. })) => {
            host.line("error: self-test differs in layer", &[*layer as u32]);
        }
        Err(Failure::Run(_)) => host.line("error: the run failed", &[]),
        Err(Failure::Memory) => host.line("error: static memory is in use", &[]),
        Err(Failure::Host) => host.line("error: the file of pictures cannot be read", &[]),
    }
    board::exit(result.is_ok())
}

/// Checks the model and plans; the stack that this takes is free again afterwards.
#[inline(never)]
fn session() -> Result<Session<'static, 'static>, Failure> {
    let model = Model::parse(&MODEL.0).map_err(|_| Failure::Load)?;
    let plan = Plan::new(model, Isa::best()).map_err(|_| Failure::Plan)?;
    let buffers = Buffers { arena: &mut ARENA.try_take().ok_or(Failure::Memory)?.0, packed: &mut [] };
    Session::new(plan, buffers).map_err(Failure::Run)
}

/// The whole sequence: check the model, check this device, classify.
#[inline(never)]
fn run(host: &mut Host) -> Result<(), Failure> {
    let start = Instructions::now();
    // A reference to the session where it was made: a value would be copied, and it is large.
    let session = &mut session();
    let session = match session {
        Ok(session) => session,
        Err(failure) => return Err(*failure),
    };
    let checked = start.elapsed();
    session.self_test().map_err(Failure::Run)?;
    if let Some(file) = host.argument() {
        return classify_file(host, session, file);
    }
    let plan = session.plan();
    host.text("instruction set ", plan.kernels().isa.name());
    host.line("instructions, check of the model", &[checked]);
    classify_picture(host, session)?;
    let plan = session.plan();
    host.line("bytes, model", &[plan.model().file_len() as u32]);
    host.line("bytes, arena", &[plan.arena_len() as u32]);
    host.line("bytes, stack", &[board::stack_used() as u32]);
    host.text("self-test: ", "every layer is right");
    Ok(())
}

#[inline(never)]
fn classify_picture(host: &mut Host, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    session.set_pixels(PICTURE).map_err(Failure::Run)?;
    let layers = LAYERS.try_take().ok_or(Failure::Memory)?;
    session.run_observed(layers).map_err(Failure::Run)?;
    for (index, instructions) in layers.elapsed.iter().take(session.plan().model().layer_count()).enumerate()
    {
        host.line("instructions, layer", &[index as u32, *instructions]);
    }
    session.set_pixels(PICTURE).map_err(Failure::Run)?;
    let instructions = board::counted(|| session.run().map(|_| ())).map_err(Failure::Run)?;
    host.line("instructions, inference", &[instructions]);
    let class = best(session.logits());
    host.text("class ", session.plan().model().label(class).unwrap_or("without a name"));
    host.line("class", &[class as u32]);
    Ok(())
}

#[inline(never)]
fn classify_file(host: &mut Host, session: &mut Session<'_, '_>, file: board::File) -> Result<(), Failure> {
    let record = RECORD.try_take().ok_or(Failure::Memory)?;
    while file.read(record).ok_or(Failure::Host)? {
        let [_, planes @ ..] = &*record;
        let pixels = planes
            .get(..1024)
            .into_iter()
            .flatten()
            .zip(planes.iter().skip(1024))
            .zip(planes.iter().skip(2048));
        let values = pixels.flat_map(|((red, green), blue)| [*red, *green, *blue]);
        for (value, pixel) in session.input_mut().iter_mut().zip(values) {
            *value = (pixel ^ 0x80) as i8;
        }
        let class = best(session.run().map_err(Failure::Run)?);
        host.line("class", &[class as u32]);
    }
    Ok(())
}

fn best(logits: &[i32]) -> usize {
    resi8::top_k(logits, &mut [(0, 0)]).first().map_or(0, |(class, _)| *class)
}

/// Instructions of every layer.
struct Layers {
    start: Instructions,
    elapsed: [u32; 32],
}

impl Observer for Layers {
    fn before(&mut self, _: &Layer<'_>) {
        self.start = Instructions::now();
    }

    fn after(&mut self, layer: &Layer<'_>, _: Output<'_>) -> Result<(), RunError> {
        let elapsed = self.start.elapsed();
        if let Some(of_layer) = self.elapsed.get_mut(layer.index) {
            *of_layer = elapsed;
        }
        Ok(())
    }
}

/// Nothing panics: the linked image has no call of it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    board::exit(false)
}
