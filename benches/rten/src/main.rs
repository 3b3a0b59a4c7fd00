//! rten in a process of its own: `rten-station THREADS DIRECTORY`, as `engines.py` runs the others.

use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

const VALUES: usize = 3 * 224 * 224;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, threads, models] = arguments.as_slice() else {
        return Err("rten-station THREADS DIRECTORY".into());
    };
    let began = Instant::now();
    let model = Model::load_file(Path::new(models).join("f32.onnx"))?;
    let pool = Arc::new(ThreadPool::with_num_threads(threads.parse()?));
    say(&[milliseconds(began), 0.0])?;
    let image = std::fs::read(Path::new(models).join("image.f32"))?;
    let image: Vec<f32> = image.as_chunks::<4>().0.iter().map(|octets| f32::from_le_bytes(*octets)).collect();
    for line in stdin().lines() {
        let count: usize = line?.trim().parse()?;
        let images = NdTensor::<f32, 4>::from_data([count, 3, 224, 224], image[..VALUES].repeat(count));
        let mut options = RunOptions::default();
        options.thread_pool = Some(pool.clone());
        let began = Instant::now();
        let logits: NdTensor<f32, 2> = model.run_one(images.view().into(), Some(options))?.try_into()?;
        let took = milliseconds(began);
        let first = logits.slice(0).iter().map(|logit| f64::from(*logit)).collect::<Vec<_>>();
        say(&[&[took], first.as_slice()].concat())?;
    }
    Ok(())
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn say(values: &[f64]) -> Result<(), Box<dyn Error>> {
    let values: Vec<String> = values.iter().map(f64::to_string).collect();
    println!("{}", values.join(" "));
    Ok(stdout().flush()?)
}
