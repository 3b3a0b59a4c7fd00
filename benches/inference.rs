//! How fast is the network on this processor, beside candle's own operations? `cargo bench --bench inference`
//!
//! Every engine runs in a process of its own with one thread and with two, and they take turns. Prints medians:
//! milliseconds for one image, images a second for sixteen.
//!
//! `heat` says how many classifications a score with its heat map costs, with two threads, by the same numbers.
//!
//! `inference --station ENGINE THREADS`, with `kernels`, `bf16`, `int8`, the same behind `heat-`, or `candle`, is one of those
//! processes: it says how many milliseconds loading took, then reads a number of images from each line, and answers with the
//! milliseconds that they took and the first one's logits. `runtimes.py` uses it, too.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark that cannot go on fails, and prints its figures"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use auscult::model::{Compute, Framed, Framing, Model, Precision};
use candle_core::Tensor;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");
/// Rounds in which everybody has a turn, unless `BENCH_ROUNDS` says otherwise.
const ROUNDS: usize = 15;
const BATCHES: [usize; 2] = [1, 16];
const THREADS: [usize; 2] = [1, 2];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--station") {
        Some(at) => station(&arguments[at + 1], arguments[at + 2].parse().unwrap()),
        None => compare(),
    }
}

/// Answers each number of images on standard input with the milliseconds that they took.
fn station(engine: &str, threads: usize) {
    let (with_heat, numbers) = match engine.strip_prefix("heat-") {
        Some(numbers) => (true, numbers),
        None => (false, engine),
    };
    let compute = match numbers {
        "kernels" => Compute::f32(threads),
        "int8" => Compute::Kernels { threads, precision: Precision::Int8 },
        "bf16" => Compute::Kernels { threads, precision: Precision::Bf16.on_processor() },
        "candle" => Compute::Graph,
        other => panic!("no engine {other}"),
    };
    let began = Instant::now();
    let model = Model::load_with(Path::new(REFERENCE), compute).unwrap();
    answer(&[milliseconds(began), 0.0]);
    let ramp = model.input().ramp().unwrap();
    for line in std::io::stdin().lines() {
        let count: usize = line.unwrap().trim().parse().unwrap();
        let images = Tensor::stack(&vec![ramp.clone(); count], 0).unwrap();
        let framed = Framed { tensor: ramp.clone(), framing: Framing::whole((224, 224), (224, 224)) };
        let began = Instant::now();
        let probabilities = if with_heat {
            (0..count).for_each(|_| drop(model.explain(&framed).unwrap()));
            Vec::new()
        } else {
            model.probabilities(&images).unwrap().swap_remove(0)
        };
        let took = milliseconds(began);
        answer(&[vec![took], probabilities.into_iter().map(f64::ln).collect()].concat());
    }
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn answer(values: &[f64]) {
    println!("{}", values.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    std::io::stdout().flush().unwrap();
}

/// A process that runs one engine.
struct Runner {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Runner {
    fn start(engine: &str, threads: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--station", engine, &threads.to_string()])
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (ask, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut runner = Self { child, ask, answers };
        runner.answer();
        runner
    }

    fn end(self) {
        let Self { mut child, ask, .. } = self;
        drop(ask);
        child.wait().unwrap();
    }

    fn milliseconds(&mut self, images: usize) -> f64 {
        writeln!(self.ask, "{images}").unwrap();
        self.answer()
    }

    /// The first of the values that it says.
    fn answer(&mut self) -> f64 {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.split_whitespace().next().unwrap().parse().unwrap()
    }
}

fn compare() {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    println!("{:>8} {:>8} {:>12} {:>12} {:>8}", "images", "threads", "kernels", "candle", "times");
    for (threads, images) in THREADS.into_iter().flat_map(|threads| BATCHES.map(|images| (threads, images))) {
        let mut runners = ["kernels", "candle"].map(|engine| Runner::start(engine, threads));
        let mut times = [Vec::new(), Vec::new()];
        // Sixteen images with candle take seconds.
        for round in 0..=rounds.min(if images == 1 { rounds } else { 3 }) {
            for (runner, times) in runners.iter_mut().zip(&mut times) {
                let time = runner.milliseconds(images);
                if round > 0 {
                    times.push(time);
                }
            }
        }
        let [kernels, candle] = times.map(median);
        let shown = |time: f64| if images == 1 { format!("{time:.1} ms") } else { rate(images, time) };
        println!("{images:>8} {threads:>8} {:>12} {:>12} {:>8.2}", shown(kernels), shown(candle), candle / kernels);
        runners.into_iter().for_each(Runner::end);
    }
    for numbers in ["kernels", "bf16", "int8"] {
        let mut runners = [&format!("heat-{numbers}"), numbers].map(|engine| Runner::start(engine, 2));
        let mut ratios = Vec::new();
        for round in 0..=rounds {
            let [heat, plain] = runners.each_mut().map(|runner| runner.milliseconds(1));
            if round > 0 {
                ratios.push(heat / plain);
            }
        }
        println!("heat, {numbers}: {:.2} classifications", median(ratios));
        runners.into_iter().for_each(Runner::end);
    }
}

fn rate(images: usize, milliseconds: f64) -> String {
    format!("{:.1} /s", images as f64 * 1e3 / milliseconds)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
