//! Our own figures of the model: how long it takes to load, to score and to explain. `cargo bench --bench model` (criterion), and
//! `-- score/int8` for some of them; what changed since the last run stands beside each. `runtimes.py` holds them beside others'.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::path::Path;
use std::time::Duration;

use auscult::model::{Compute, Framed, Framing, Model, Precision};
use candle_core::Tensor;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");

/// As this processor computes them: bf16 is left out where that is f32.
fn precisions() -> impl Iterator<Item = Precision> {
    [Precision::F32, Precision::Bf16, Precision::Int8].into_iter().filter(|each| each.on_processor() == *each)
}

fn loaded(precision: Precision) -> Model {
    Model::load_with(Path::new(REFERENCE), Compute::Kernels { threads: 0, precision }).unwrap()
}

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    for precision in precisions() {
        group.bench_function(precision.name(), |bench| bench.iter(|| loaded(precision)));
    }
}

fn score(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("score");
    for precision in precisions() {
        let model = loaded(precision);
        let ramp = model.input().ramp().unwrap();
        for count in [1, 16] {
            let images = Tensor::stack(&vec![ramp.clone(); count], 0).unwrap();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(precision.name(), count), |bench| {
                bench.iter(|| model.probabilities(&images).unwrap());
            });
        }
    }
}

fn explain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("explain");
    for precision in precisions() {
        let model = loaded(precision);
        let tensor = model.input().ramp().unwrap();
        let framed = Framed { tensor, framing: Framing::whole((224, 224), (224, 224)) };
        group.bench_function(precision.name(), |bench| bench.iter(|| model.explain(&framed).unwrap()));
    }
}

criterion_group! {
    name = model;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1));
    targets = load, score, explain
}
criterion_main!(model);
