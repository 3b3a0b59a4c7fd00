//! Whether this processor's instructions give what plain ones give: tried once, before anything relies on them.

use std::sync::OnceLock;

use super::buffer::Buffer;
use super::convolution::{After, Convolution, output_of};
use super::filter::{Filter, Raw};
use super::geometry::{Extent, Offsets, Walk, Window};
use super::halves::widened;
use super::isa::Isa;
use super::panels::{Panels, Room};
use super::slots::{SLOTS, Shared, Slots, View};
use super::tile::Micro;
use super::turn::turn;
use super::winograd::{self, Gather, Spread};

/// Channels that a trial goes from and to: neither fills its groups, tiles or panels, and with a window of nine places the
/// depth is more than a block.
pub(super) const CHANNELS: (usize, usize) = (100, 41);

/// How far sums of so many products of values up to 1 may be apart that were added in another order.
const ROUNDING: f32 = 1e-4;

/// The instructions whose kernels compute f32: the best that are available, chosen and agree with the plain ones; the log
/// names those that do not.
pub fn trusted() -> Isa {
    static TRUSTED: OnceLock<Isa> = OnceLock::new();
    *TRUSTED.get_or_init(|| {
        let plain = Micro::of(Isa::Plain);
        best("f32", |isa| Micro::of(isa).isa, |isa| agrees(Micro::of(isa), plain))
    })
}

/// The best form of kernels that this processor has instructions for and that `agrees`; `form` names the one that a set of
/// instructions would use, `numbers` what it computes with.
pub(super) fn best(numbers: &str, form: impl Fn(Isa) -> Isa, agrees: impl Fn(Isa) -> bool) -> Isa {
    let mut sets: Vec<Isa> = Isa::available().filter(|isa| *isa <= Isa::chosen()).collect();
    sets.sort_unstable_by(|a, b| b.cmp(a));
    // In the order of the sets: what a processor with AVX-512 alone would use stands before AVX-VNNI.
    let mut forms: Vec<Isa> = sets.into_iter().map(form).collect();
    forms.dedup();
    first_trusted(&forms, numbers, agrees)
}

/// The first of some forms that agrees, or the plain one.
pub(super) fn first_trusted(forms: &[Isa], numbers: &str, agrees: impl Fn(Isa) -> bool) -> Isa {
    let fault = |isa: Isa| {
        if isa == Isa::Amx && !survives(|| _ = agrees(isa)) {
            return Some("end a process that uses them");
        }
        (isa != Isa::Plain && !agrees(isa)).then_some("give other sums than plain instructions do")
    };
    let trusted = forms.iter().find(|isa| match fault(**isa) {
        None => true,
        Some(fault) => {
            let name = isa.name();
            tracing::warn!(instructions = name, "this processor's {name} {fault}; {numbers} goes without them");
            false
        }
    });
    trusted.copied().unwrap_or(Isa::Plain)
}

/// Whether a process lives through some work: one of its own, which ends then. AMX takes the operating system's help, and
/// where that is missing an instruction ends the process that uses it.
fn survives(work: impl FnOnce()) -> bool {
    // SAFETY: the new process has this thread alone; it computes, allocates, which the C library lets it, and ends below.
    match unsafe { libc::fork() } {
        0 => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the process, and runs nothing of the one that it came from.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        -1 => false,
        child => {
            let mut status = 0;
            // SAFETY: waits for a process of ours; the status is written to a number of ours.
            while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
                if std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
                    return false;
                }
            }
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
}

/// Numbers that are the same at every start.
pub(super) struct Numbers(u32);

impl Numbers {
    pub(super) fn new() -> Self {
        Self(1)
    }

    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    /// So many from -1 to 1.
    pub(super) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next() as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

/// Windows and places in a row that try kernels of at most so many rows: tiles of every height, and several of them with
/// padding around.
pub(super) fn trials(rows: usize) -> impl Iterator<Item = (Window, usize)> {
    const PLACE: Window = Window { size: 1, stride: 1, padding: 0 };
    (1..=rows).map(|places| (PLACE, places)).chain([(winograd::WINDOW, 2 * rows + 1)])
}

/// In convolutions by places and by rows, by Winograd's matrices, in turning weights over and in widening them.
fn agrees(micro: &'static Micro, plain: &'static Micro) -> bool {
    trials(micro.rows).all(|trial| near(&by_places(micro, trial), &by_places(plain, trial)))
        && near(&by_rows(micro), &by_rows(plain))
        && near(&by_matrices(micro), &by_matrices(plain))
        && turns(micro)
        && widens(micro)
}

/// No value is further from the other one than rounding explains; nothing is near to what is no number.
fn near(found: &[f32], wanted: &[f32]) -> bool {
    found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < ROUNDING)
}

fn material(inputs: usize, places: usize, numbers: &mut Numbers) -> Raw {
    Raw { weights: numbers.values(CHANNELS.1 * inputs * places), bias: numbers.values(CHANNELS.1) }
}

fn by_places(micro: &'static Micro, (window, places): (Window, usize)) -> Vec<f32> {
    let extent = Extent::new::<f32>(1, 1, places, CHANNELS.0);
    let raw = material(extent.channels, window.size.pow(2), &mut Numbers::new());
    let filter = Filter::pack(&raw, extent.channels, window, Walk::Places, micro);
    convolved(micro, &filter, extent, After::AddAndRectify)
}

fn by_rows(micro: &'static Micro) -> Vec<f32> {
    let extent = Extent { images: 1, rows: 9, columns: 11, channels: 3, pitch: 3 };
    let window = Window { size: 7, stride: 2, padding: 0 };
    let raw = material(extent.channels, 49, &mut Numbers::new());
    let filter = Filter::pack(&raw, extent.channels, window, Walk::Rows, micro);
    convolved(micro, &filter, extent, |_| After::Rectify)
}

/// A convolution of an activation of this extent.
fn convolved(micro: &'static Micro, filter: &Filter, extent: Extent, after: impl Fn(View) -> After) -> Vec<f32> {
    let from = view(0, extent);
    let to = view(1, output_of(filter, extent));
    let added = view(2, to.extent);
    let mut slots = filled(&[from, added], &[to]);
    let step = Convolution::new((0, filter), (from, to), after(added), &mut Offsets::default(), (micro, 1));
    let zeros = Buffer::zeroed(extent.pitch);
    each(step.tasks(), &mut slots, |task, shared| {
        // SAFETY: the caller names instructions of this processor; each task is done once, by this thread alone.
        unsafe { step.run(task, filter, shared, zeros.values(), micro) }
    });
    values(&slots, &to)
}

fn by_matrices(micro: &'static Micro) -> Vec<f32> {
    let extent = Extent::new::<f32>(1, 5, 7, CHANNELS.0);
    let raw = material(extent.channels, 9, &mut Numbers::new());
    let filter = Filter::without_weights(&raw.bias, extent.channels, winograd::WINDOW, micro.columns);
    let filters = winograd::spread_weights(&raw, extent.channels, micro);
    let (from, to) = (view(0, extent), view(1, output_of(&filter, extent)));
    let (spread, products) = (winograd::matrices(2, from.extent), winograd::matrices(3, to.extent));
    let mut slots = filled(&[from], &[to, spread, products]);
    let zeros = Buffer::zeroed(extent.pitch);
    let step = Spread { input: from, output: spread };
    each(step.tasks(), &mut slots, |task, shared| {
        // SAFETY: as in `convolved`.
        unsafe { step.run(task, shared, zeros.values(), micro) }
    });
    for (value, filter) in filters.iter().enumerate() {
        let views = (spread.image(value), products.image(value));
        let step = Convolution::new((0, filter), views, After::Keep, &mut Offsets::default(), (micro, 1));
        each(step.tasks(), &mut slots, |task, shared| {
            // SAFETY: as in `convolved`.
            unsafe { step.run(task, filter, shared, zeros.values(), micro) }
        });
    }
    let step = Gather { filter: 0, input: products, output: to };
    each(step.tasks(), &mut slots, |task, shared| {
        // SAFETY: as in `convolved`.
        unsafe { step.run(task, shared, &filter, micro) }
    });
    values(&slots, &to)
}

/// Whether rows become columns.
fn turns(micro: &Micro) -> bool {
    let (side, mut numbers) = (micro.columns, Numbers::new());
    let (square, mut turned) = (numbers.values(side * side), vec![0.0; side * side]);
    turn(micro, &square, side, &mut turned);
    let wanted = (0..side).flat_map(|column| square.iter().skip(column).step_by(side));
    turned.iter().eq(wanted)
}

/// Whether weights of half precision are themselves, times their factors, when they are widened.
fn widens(micro: &Micro) -> bool {
    let (length, mut numbers) = (3 * micro.columns, Numbers::new());
    // Below 2, so that none is infinite.
    let weights: Vec<f32> = (0..length).map(|_| widened(numbers.next() as u16 & 0xbfff)).collect();
    let factors = numbers.values(micro.columns);
    let panels = Panels::halves(length, &factors, micro.columns, |_, to| to.copy_from_slice(&weights));
    let wanted = weights.iter().zip(factors.iter().cycle()).map(|(weight, factor)| weight * factor);
    panels.rows(0, 0..length, &mut Room::new(), micro).iter().copied().eq(wanted)
}

pub(super) fn view(slot: usize, extent: Extent) -> View {
    View { slot, start: 0, extent }
}

/// Memory for all views, with numbers in the first ones.
fn filled(full: &[View], empty: &[View]) -> Slots {
    let (mut slots, mut lengths, mut numbers) = (Slots::default(), [0; SLOTS], Numbers::new());
    for view in full.iter().chain(empty) {
        view.kept_in(&mut lengths);
    }
    slots.grow(&lengths);
    for view in full {
        slots.write(view, &numbers.values(view.extent.values()));
    }
    slots
}

fn each(tasks: usize, slots: &mut Slots, task: impl Fn(usize, &Shared<'_>)) {
    let shared = slots.share();
    (0..tasks).for_each(|number| task(number, &shared));
}

fn values(slots: &Slots, view: &View) -> Vec<f32> {
    super::network::places(slots, view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_this_processor_has_instructions_for_is_trusted() {
        for isa in Isa::available() {
            assert!(agrees(Micro::of(isa), Micro::of(Isa::Plain)), "{isa:?}");
        }
        assert_eq!(trusted(), Micro::of(Isa::chosen()).isa);
    }

    #[test]
    fn what_ends_a_process_is_known_before_this_one_does_it() {
        assert!(survives(|| ()));
        assert!(!survives(|| panic!("as it should")));
        // SAFETY: ends the process that it is called in as an unknown instruction does.
        assert!(!survives(|| _ = unsafe { libc::raise(libc::SIGILL) }));
    }

    #[test]
    fn a_form_that_forgets_a_place_or_is_no_number_is_left_out() {
        let plain = Micro::of(Isa::Plain);
        assert!(!agrees(Micro::wrong(), plain));
        assert!(!near(&[f32::NAN], &[f32::NAN]) && !near(&[1.0], &[1.001]) && near(&[1.0], &[1.000_01]));
        let forms = [Isa::Avx512, Isa::Avx2, Isa::Plain];
        assert_eq!(first_trusted(&forms, "f32", |isa| isa == Isa::Avx2), Isa::Avx2);
        assert_eq!(first_trusted(&forms, "f32", |_| false), Isa::Plain);
    }
}
