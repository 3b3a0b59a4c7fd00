//! The configured model: found, loaded where the configuration allows and this machine permits, and told of in the log.

use std::path::PathBuf;
use std::time::Instant;

use super::StartError;
use crate::background;
use crate::config::{self, Config, ContentQualification, ModelDevice, ModelPrecision};
use crate::cuda::{self, Obstacle, device};
use crate::inference::Inference;
use crate::model::{Compute, Manifest, Model, ModelError, Package, Precision, Qualification};
use crate::resource;

/// Finds and loads the configured model package, self-test included; on the first of the configured devices.
///
/// # Errors
/// A package that is not there or cannot serve, and a device that is asked for and cannot be used.
pub fn load_model(config: &Config) -> Result<Model, StartError> {
    let device = devices(&config.model).first().copied().unwrap_or_default();
    Ok(load_on(config, device)?.told())
}

/// The same on every configured device behind one queue; a model that fails later is loaded again in the same way.
///
/// # Errors
/// As [`load_model`], and where no thread can be started.
pub fn start_model(config: &Config) -> Result<Inference, StartError> {
    let loaded: Result<Vec<_>, _> = devices(&config.model).into_iter().map(|device| load_on(config, device)).collect();
    let (used, left) = at_work(loaded?, |loaded| loaded.model.is_on_device());
    for Loaded { device, obstacle, .. } in left {
        if let Some(obstacle) = obstacle {
            tracing::warn!("device {device} is not used: {obstacle}");
        }
    }
    let devices: Vec<usize> = used.iter().map(|loaded| loaded.device).collect();
    let settings = config.clone();
    let open = move |place: usize| {
        let device = devices.get(place).copied().unwrap_or_default();
        load_on(&settings, device).map(Loaded::told)
    };
    Ok(Inference::start(used.into_iter().map(Loaded::told).collect(), open, config.model.queue)?)
}

/// The devices that the configuration names; where none can be used, one that stands for the processor.
fn devices(wanted: &config::Model) -> Vec<usize> {
    let none = wanted.device == ModelDevice::Cpu || !wanted.precision.is_for_devices() || cuda::obstacle().is_some();
    match wanted.cuda_devices.as_slice() {
        _ if none => vec![0],
        [] => (0..device::count().max(1)).collect(),
        named => named.to_vec(),
    }
}

/// Those that compute, and the others: what came to be on the processor for want of a device counts only where no device serves,
/// and then once.
fn at_work<T>(loaded: Vec<T>, is_on_device: impl Fn(&T) -> bool) -> (Vec<T>, Vec<T>) {
    let (mut on_device, mut others): (Vec<_>, Vec<_>) = loaded.into_iter().partition(is_on_device);
    if on_device.is_empty() {
        on_device.extend((!others.is_empty()).then(|| others.remove(0)));
        others.clear();
    }
    (on_device, others)
}

/// A model, and what there is to say of it.
struct Loaded {
    model: Model,
    /// The device that it was to be on.
    device: usize,
    /// The numbers that it was to be computed with.
    wanted: ModelPrecision,
    /// What kept it from the device, if it might have been there.
    obstacle: Option<Obstacle>,
    directory: PathBuf,
    milliseconds: u128,
}

impl Loaded {
    /// The model, of which the log tells.
    fn told(self) -> Model {
        if let Some(obstacle) = &self.obstacle {
            tell(obstacle);
        }
        tell_of(&self);
        self.model
    }
}

/// Loads the model on a device, or on the processor.
fn load_on(config: &Config, device: usize) -> Result<Loaded, StartError> {
    background::give_way_in_arithmetic();
    let directory = resource::find(&config.model.package)?;
    let started = Instant::now();
    let manifest = Package::manifest_in(&directory).map_err(ModelError::from)?;
    let places = (on_device(&config.model, &manifest, device), on_processor(&config.model, &manifest));
    let load_on = |compute| Model::load_with(&directory, compute);
    let (model, obstacle) = load(&config.model, places, cuda::obstacle(), load_on)?;
    let manifest = model.manifest();
    let promised = config.report.content_qualification == ContentQualification::Product;
    if promised && manifest.qualification != Qualification::Product {
        return Err(StartError::Qualification(manifest.name.clone()));
    }
    let (wanted, milliseconds) = (config.model.precision, started.elapsed().as_millis());
    Ok(Loaded { model, device, wanted, obstacle, directory, milliseconds })
}

/// Loads the model on the device, or on the processor, where it must be, and says what kept it from the device where it
/// might have been there.
fn load<T>(
    wanted: &config::Model,
    (on_device, on_processor): (Vec<Compute>, Compute),
    obstacle: Option<Obstacle>,
    load: impl Fn(Compute) -> Result<T, ModelError>,
) -> Result<(T, Option<Obstacle>), StartError> {
    if wanted.device == ModelDevice::Cpu {
        return Ok((load(on_processor)?, None));
    }
    let no_device = on_device.is_empty().then(|| Obstacle::OnProcessor(wanted.precision.name()));
    let mut obstacle = no_device.or(obstacle);
    if obstacle.is_none() {
        for compute in on_device {
            obstacle = Some(match load(compute) {
                Ok(model) => return Ok((model, None)),
                Err(fault @ ModelError::SelfTest { .. }) => Obstacle::SelfTest(fault.to_string()),
                Err(ModelError::Device(fault)) => Obstacle::NoDevice(fault.to_string()),
                Err(fault @ (ModelError::Inference { .. } | ModelError::NotAProbability(_))) => {
                    Obstacle::NoDevice(fault.to_string())
                }
                Err(fault @ ModelError::Package(_)) => return Err(fault.into()),
            });
        }
    }
    match (wanted.device, obstacle) {
        (ModelDevice::Cuda, Some(obstacle)) => Err(StartError::Device(obstacle)),
        (_, obstacle) => Ok((load(on_processor)?, obstacle)),
    }
}

/// How the configuration has a device compute a package: each way, until the device passes the self-test in one.
fn on_device(wanted: &config::Model, manifest: &Manifest, device: usize) -> Vec<Compute> {
    let precisions: &[Precision] = match wanted.precision {
        ModelPrecision::Auto if manifest.bf16.is_some() => &[Precision::Bf16, Precision::F32],
        ModelPrecision::Auto | ModelPrecision::F32 => &[Precision::F32],
        ModelPrecision::F16 => &[Precision::F16],
        ModelPrecision::Bf16 => &[Precision::Bf16],
        ModelPrecision::Int8 => &[],
    };
    precisions.iter().map(|precision| Compute::Cuda { device, precision: *precision }).collect()
}

/// How the configuration has the processor compute a package.
fn on_processor(wanted: &config::Model, manifest: &Manifest) -> Compute {
    let precision = match wanted.precision {
        ModelPrecision::Auto => Precision::automatic(manifest),
        ModelPrecision::F32 => Precision::F32,
        ModelPrecision::F16 => Precision::F16,
        ModelPrecision::Bf16 => Precision::Bf16,
        ModelPrecision::Int8 => Precision::Int8,
    };
    Compute::Kernels { threads: wanted.threads, precision: precision.on_processor() }
}

/// A machine without a device is nothing unusual; one whose device does not serve is.
fn tell(obstacle: &Obstacle) {
    match obstacle {
        Obstacle::NoDriver | Obstacle::BuiltWithout | Obstacle::OnProcessor(_) => {
            tracing::info!("running on CPU: {obstacle}")
        }
        _ => tracing::warn!("running on CPU: {obstacle}"),
    }
}

fn tell_of(Loaded { model, device, wanted, directory, milliseconds, .. }: &Loaded) {
    let manifest = model.manifest();
    let name = if model.is_on_device() { format!("{} {device}", model.device()) } else { model.device().to_owned() };
    tracing::info!(
        package = %directory.display(), name = %manifest.name, version = %manifest.version, device = name.as_str(),
        precision = model.precision().name(), instructions = model.isa().name(), %milliseconds, "model loaded, self-test passed"
    );
    if *wanted != ModelPrecision::Auto && wanted.name() != model.precision().name() {
        let wanted = wanted.name();
        tracing::info!("the processor has no instructions for {wanted}, so it computes in f32, which is faster there");
    }
    if model.gate().is_none() {
        tracing::warn!(
            name = %manifest.name, "the package has no plausibility gate: whatever its header calls a frontal chest \
            radiograph is analysed; auscult model gate fits one"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::{PackageError, TensorFault};

    type Loaded = Result<(Compute, Option<Obstacle>), StartError>;

    fn wanted(device: ModelDevice, precision: ModelPrecision) -> config::Model {
        config::Model { device, precision, threads: 3, ..config::Model::default() }
    }

    fn reference() -> Manifest {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference"));
        Package::manifest_in(directory).unwrap()
    }

    const ON_PROCESSOR: Compute = Compute::Kernels { threads: 3, precision: Precision::F32 };

    fn on_device_2(precision: Precision) -> Compute {
        Compute::Cuda { device: 2, precision }
    }

    /// Where the model comes to be when the device answers so to each kind of numbers.
    fn with_device(
        (device, precision): (ModelDevice, ModelPrecision),
        answer: impl Fn(Precision) -> Result<(), ModelError>,
    ) -> Loaded {
        let wanted = wanted(device, precision);
        let places = (on_device(&wanted, &reference(), 2), ON_PROCESSOR);
        load(&wanted, places, None, |compute| match compute {
            Compute::Cuda { precision, .. } => answer(precision).map(|()| compute),
            _ => Ok(compute),
        })
    }

    fn without_device(device: ModelDevice, precision: ModelPrecision) -> Loaded {
        let wanted = wanted(device, precision);
        let places = (on_device(&wanted, &reference(), 2), ON_PROCESSOR);
        load(&wanted, places, Some(Obstacle::NoDriver), |compute| {
            assert!(!matches!(compute, Compute::Cuda { .. }));
            Ok(compute)
        })
    }

    fn other_answer() -> ModelError {
        let (name, expected, found) = ("x".to_owned(), vec![0.5, 0.5], vec![0.7, 0.3]);
        ModelError::SelfTest { name, expected, found, tolerance: 1e-4 }
    }

    #[test]
    fn a_device_is_used_where_it_may_and_serves() {
        for device in [ModelDevice::Auto, ModelDevice::Cuda] {
            for (wanted, found) in [
                (ModelPrecision::Auto, Precision::Bf16),
                (ModelPrecision::F32, Precision::F32),
                (ModelPrecision::F16, Precision::F16),
                (ModelPrecision::Bf16, Precision::Bf16),
            ] {
                assert_eq!(with_device((device, wanted), |_| Ok(())).unwrap(), (on_device_2(found), None));
            }
        }
        let unasked = |_| panic!("the device was asked");
        let found = with_device((ModelDevice::Cpu, ModelPrecision::Auto), unasked).unwrap();
        assert_eq!(found, (ON_PROCESSOR, None));
    }

    #[test]
    fn a_device_that_answers_otherwise_in_bf16_is_asked_in_f32() {
        let answer = |precision| if precision == Precision::F32 { Ok(()) } else { Err(other_answer()) };
        let auto = with_device((ModelDevice::Auto, ModelPrecision::Auto), answer).unwrap();
        assert_eq!(auto, (on_device_2(Precision::F32), None));
        let (compute, obstacle) = with_device((ModelDevice::Auto, ModelPrecision::Bf16), answer).unwrap();
        assert_eq!(compute, ON_PROCESSOR);
        assert!(matches!(obstacle, Some(Obstacle::SelfTest(_))), "{obstacle:?}");
    }

    #[test]
    fn the_processor_takes_over_and_the_reason_is_known() {
        let (compute, obstacle) = without_device(ModelDevice::Auto, ModelPrecision::F32).unwrap();
        assert_eq!((compute, obstacle), (ON_PROCESSOR, Some(Obstacle::NoDriver)));
        let auto = (ModelDevice::Auto, ModelPrecision::Auto);
        let no_device = |_| Err(ModelError::Device(TensorFault::from(candle_core::Error::msg("no device"))));
        let (compute, obstacle) = with_device(auto, no_device).unwrap();
        assert_eq!(compute, ON_PROCESSOR);
        assert_eq!(obstacle.unwrap().to_string(), "no NVIDIA device can be used: no device");
        let (compute, obstacle) = with_device(auto, |_| Err(other_answer())).unwrap();
        assert_eq!(compute, ON_PROCESSOR);
        let told = obstacle.unwrap().to_string();
        assert!(told.starts_with("the device failed the self-test") && told.contains("[0.7, 0.3]"), "{told}");
    }

    #[test]
    fn a_device_that_is_asked_for_and_missing_is_a_fault_of_the_configuration() {
        let fault = without_device(ModelDevice::Cuda, ModelPrecision::Auto).unwrap_err();
        assert!(fault.is_configuration_fault());
        let message = fault.to_string();
        assert!(message.starts_with("configuration: model.device = \"cuda\": NVIDIA driver not found; "), "{message}");
        assert!(with_device((ModelDevice::Cuda, ModelPrecision::Auto), |_| Err(other_answer())).is_err());
    }

    #[test]
    fn eight_bits_are_computed_on_the_processor() {
        let unasked = |_| panic!("the device was asked");
        let (compute, obstacle) = with_device((ModelDevice::Auto, ModelPrecision::Int8), unasked).unwrap();
        assert_eq!((compute, obstacle), (ON_PROCESSOR, Some(Obstacle::OnProcessor("int8"))));
        let (_, obstacle) = without_device(ModelDevice::Auto, ModelPrecision::Int8).unwrap();
        assert_eq!(obstacle, Some(Obstacle::OnProcessor("int8")));
    }

    #[test]
    fn what_came_to_the_processor_counts_where_no_device_serves() {
        let on_device = |name: &&str| name.starts_with("device");
        let (used, left) = at_work(vec!["processor 0", "device 1", "device 3"], on_device);
        assert_eq!((used, left), (vec!["device 1", "device 3"], vec!["processor 0"]));
        let (used, left) = at_work(vec!["processor 0", "processor 1"], on_device);
        assert_eq!((used, left), (vec!["processor 0"], Vec::new()));
    }

    #[test]
    fn devices_are_those_that_are_named_where_any_can_be_used() {
        let named =
            |device, precision| devices(&config::Model { cuda_devices: vec![3, 1], ..wanted(device, precision) });
        let found = named(ModelDevice::Auto, ModelPrecision::Auto);
        assert_eq!(found, if cfg!(feature = "cuda") { vec![3, 1] } else { vec![0] });
        assert_eq!(named(ModelDevice::Cpu, ModelPrecision::Auto), [0]);
        assert_eq!(named(ModelDevice::Auto, ModelPrecision::Int8), [0]);
    }

    #[test]
    fn auto_is_what_the_package_allows() {
        let mut manifest = reference();
        let numbers =
            |wanted, manifest: &Manifest| match on_processor(&self::wanted(ModelDevice::Cpu, wanted), manifest) {
                Compute::Kernels { precision, threads: 3 } => precision,
                other => panic!("{other:?}"),
            };
        assert_eq!(numbers(ModelPrecision::Auto, &manifest), Precision::automatic(&manifest));
        assert_eq!(numbers(ModelPrecision::Bf16, &manifest), Precision::Bf16.on_processor());
        assert_eq!(numbers(ModelPrecision::Int8, &manifest), Precision::Int8);
        assert_eq!(numbers(ModelPrecision::F16, &manifest), Precision::F32);
        manifest.bf16 = None;
        assert_eq!(numbers(ModelPrecision::Auto, &manifest), Precision::F32);
        let auto = wanted(ModelDevice::Auto, ModelPrecision::Auto);
        assert_eq!(on_device(&auto, &manifest, 2), [on_device_2(Precision::F32)]);
    }

    #[test]
    fn a_package_that_cannot_serve_is_not_tried_again_on_the_processor() {
        let damaged = |_| {
            let (path, cause) = (PathBuf::from("model.toml"), "damaged".to_owned());
            Err(ModelError::Package(PackageError::Manifest { path, cause }))
        };
        let message = with_device((ModelDevice::Auto, ModelPrecision::Auto), damaged).unwrap_err().to_string();
        assert!(message.contains("model.toml: damaged"), "{message}");
    }
}
