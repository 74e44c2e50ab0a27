//! A ResNet on a microcontroller: model in flash, one static arena, no heap.
//!
//! Prints the class of a picture, what the network needs, and how many instructions an inference takes. Started with the name of
//! a file of CIFAR-10 records as its command line, it prints the class of each of them instead, one a line.
#![no_std]
#![no_main]

mod board;

use board::{Host, Instructions};
use resi8::{Buffers, Isa, Layer, Model, Observer, Output, Plan, RunError, Session};
use static_cell::{ConstStaticCell, StaticCell};

/// Room for the activations and scratch of ResNet-8, converted for little memory or with transformed weights. A model that needs more is
/// refused with the number it needs.
const ARENA_LEN: usize = if cfg!(feature = "target") { 35 * 1024 } else { 24 * 1024 };

/// Aligned as the arena and the weights in a model file want it.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static ARENA: ConstStaticCell<Aligned<[u8; ARENA_LEN]>> = ConstStaticCell::new(Aligned([0; ARENA_LEN]));
static SESSION: StaticCell<Session<'static, 'static>> = StaticCell::new();
static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.r8")));
/// One picture of a file: its label, then planes of red, green and blue.
static RECORD: ConstStaticCell<[u8; 1 + 3 * 1024]> = ConstStaticCell::new([0; 1 + 3 * 1024]);
static LAYERS: ConstStaticCell<Layers> =
    ConstStaticCell::new(Layers { start: Instructions::START, elapsed: [0; 32] });
static PICTURE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/picture.rgb"));

#[cortex_m_rt::entry]
fn main() -> ! {
    board::enable_vector_unit();
    let mut host = Host::new();
    let done = run(&mut host);
    board::exit(done.is_some())
}

/// The whole sequence: check the model, check this device, classify. `None` when something went wrong, which has been said then.
#[inline(never)]
fn run(host: &mut Host) -> Option<()> {
    let start = Instructions::now();
    let session = session(host)?;
    let checked = start.elapsed();
    said(host, session.self_test())?;
    if let Some(file) = host.argument() {
        return classify_file(host, session, file);
    }
    host.text("instruction set ", session.plan().kernels().isa.name());
    host.line("instructions, check of the model", &[checked]);
    classify_picture(host, session)?;
    host.line("bytes, model", &[session.plan().model().file_len() as u32]);
    host.line("bytes, arena", &[session.plan().arena_len() as u32]);
    host.line("bytes, stack", &[board::stack_used() as u32]);
    host.text("self-test: ", "every layer is right");
    Some(())
}

/// Checks the model and plans; the stack that this takes is free again afterwards.
#[inline(never)]
fn session(host: &mut Host) -> Option<&'static mut Session<'static, 'static>> {
    let Ok(model) = Model::parse(&MODEL.0) else {
        host.line("error: the model is refused", &[]);
        return None;
    };
    let Ok(plan) = Plan::new(model, Isa::best()) else {
        host.line("error: the model does not fit the address space", &[]);
        return None;
    };
    let buffers = Buffers { arena: &mut taken(host, ARENA.try_take())?.0, packed: &mut [] };
    let session = said(host, Session::new(plan, buffers))?;
    taken(host, SESSION.try_init(session))
}

/// Says what an error is.
fn said<T>(host: &mut Host, result: Result<T, RunError>) -> Option<T> {
    match result {
        Ok(value) => return Some(value),
        Err(RunError::ArenaTooSmall { needed, .. }) => {
            host.line("error: bytes of arena needed", &[needed as u32]);
        }
        Err(RunError::SelfTest { layer, .. }) => {
            host.line("error: self-test differs in layer", &[layer as u32])
        }
        Err(_) => host.line("error: the run failed", &[]),
    }
    None
}

/// Static memory, which can be taken once.
fn taken<T>(host: &mut Host, memory: Option<T>) -> Option<T> {
    if memory.is_none() {
        host.line("error: static memory is in use", &[]);
    }
    memory
}

fn classify_picture(host: &mut Host, session: &mut Session<'_, '_>) -> Option<()> {
    said(host, session.set_pixels(PICTURE))?;
    let layers = taken(host, LAYERS.try_take())?;
    let result = session.run_observed(layers).map(|_| ());
    said(host, result)?;
    for (index, instructions) in layers.elapsed.iter().take(session.plan().model().layer_count()).enumerate()
    {
        host.line("instructions, layer", &[index as u32, *instructions]);
    }
    said(host, session.set_pixels(PICTURE))?;
    let instructions = board::counted(|| session.run().map(|_| ()));
    let instructions = said(host, instructions)?;
    host.line("instructions, inference", &[instructions]);
    let class = best(session.logits());
    host.text("class ", session.plan().model().label(class).unwrap_or("without a name"));
    host.line("class", &[class as u32]);
    Some(())
}

#[inline(never)]
fn classify_file(host: &mut Host, session: &mut Session<'_, '_>, file: board::File) -> Option<()> {
    let record = taken(host, RECORD.try_take())?;
    loop {
        match file.read(record) {
            Some(true) => {}
            Some(false) => return Some(()),
            None => {
                host.line("error: the file of pictures cannot be read", &[]);
                return None;
            }
        }
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
        let result = session.run().map(best);
        let class = said(host, result)?;
        host.line("class", &[class as u32]);
    }
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
            *of_layer += elapsed;
        }
        Ok(())
    }
}

/// Nothing panics: the linked image has no call of it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    board::exit(false)
}
