//! The configured model: found, loaded where the configuration allows and this machine permits, and told of in the log.

use std::path::Path;
use std::time::Instant;

use super::StartError;
use crate::background;
use crate::config::{self, Config, ContentQualification, ModelDevice, ModelPrecision};
use crate::cuda::{self, Obstacle};
use crate::inference::Inference;
use crate::model::{Compute, Manifest, Model, ModelError, Package, Precision, Qualification};
use crate::resource;

/// Finds and loads the configured model package, self-test included.
///
/// # Errors
/// A package that is not there or cannot serve, and a device that is asked for and cannot be used.
pub fn load_model(config: &Config) -> Result<Model, StartError> {
    background::give_way_in_arithmetic();
    let directory = resource::find(&config.model.package)?;
    let started = Instant::now();
    let on_processor = on_processor(&config.model, &Package::manifest_in(&directory).map_err(ModelError::from)?);
    let load_on = |compute| Model::load_with(&directory, compute);
    let (model, obstacle) = load(&config.model, on_processor, cuda::obstacle(), load_on)?;
    let manifest = model.manifest();
    let promised = config.report.content_qualification == ContentQualification::Product;
    if promised && manifest.qualification != Qualification::Product {
        return Err(StartError::Qualification(manifest.name.clone()));
    }
    if let Some(obstacle) = obstacle {
        tell(&obstacle);
    }
    tell_of(&model, &directory, started);
    Ok(model)
}

/// The same behind its queue; one that fails later is loaded again in the same way.
///
/// # Errors
/// As [`load_model`], and where no thread can be started.
pub fn start_model(config: &Config) -> Result<Inference, StartError> {
    let settings = config.clone();
    Inference::start(move || load_model(&settings), config.model.queue)
}

/// Loads the model on the device, or on the processor, where it must be, and says what kept it from the device where it
/// might have been there.
fn load<T>(
    wanted: &config::Model,
    on_processor: Compute,
    obstacle: Option<Obstacle>,
    load: impl Fn(Compute) -> Result<T, ModelError>,
) -> Result<(T, Option<Obstacle>), StartError> {
    let obstacle = match (wanted.device, wanted.precision) {
        (ModelDevice::Cpu, _) => return Ok((load(on_processor)?, None)),
        (ModelDevice::Auto | ModelDevice::Cuda, precision) if !precision.is_for_devices() => {
            Obstacle::OnProcessor(precision.name())
        }
        (ModelDevice::Auto | ModelDevice::Cuda, _) => match obstacle {
            Some(obstacle) => obstacle,
            None => match load(Compute::Cuda) {
                Ok(model) => return Ok((model, None)),
                Err(ModelError::Device(fault)) => Obstacle::NoDevice(fault.to_string()),
                Err(fault @ ModelError::SelfTest { .. }) => Obstacle::SelfTest(fault.to_string()),
                Err(fault @ (ModelError::Inference { .. } | ModelError::NotAProbability(_))) => {
                    Obstacle::NoDevice(fault.to_string())
                }
                Err(fault @ ModelError::Package(_)) => return Err(fault.into()),
            },
        },
    };
    match wanted.device {
        ModelDevice::Cuda => Err(StartError::Device(obstacle)),
        ModelDevice::Auto | ModelDevice::Cpu => Ok((load(on_processor)?, Some(obstacle))),
    }
}

/// How the configuration has the processor compute a package.
fn on_processor(wanted: &config::Model, manifest: &Manifest) -> Compute {
    let precision = match wanted.precision {
        ModelPrecision::Auto => Precision::automatic(manifest),
        ModelPrecision::F32 => Precision::F32,
        ModelPrecision::Bf16 => Precision::Bf16,
        ModelPrecision::Int8 => Precision::Int8,
    };
    Compute::Kernels { threads: wanted.threads, precision }
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

fn tell_of(model: &Model, directory: &Path, started: Instant) {
    let manifest = model.manifest();
    let milliseconds = started.elapsed().as_millis();
    tracing::info!(
        package = %directory.display(), name = %manifest.name, version = %manifest.version, device = model.device(),
        precision = model.precision().name(), instructions = model.isa().name(), milliseconds, "model loaded, self-test passed"
    );
    if model.gate().is_none() {
        tracing::warn!(
            name = %manifest.name, "the package has no plausibility gate: whatever its header calls a frontal chest \
            radiograph is analysed; auscult model gate fits one"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::{PackageError, TensorFault};

    type Loaded = Result<(Compute, Option<Obstacle>), StartError>;

    fn wanted(device: ModelDevice, precision: ModelPrecision) -> config::Model {
        config::Model { device, precision, threads: 3, ..config::Model::default() }
    }

    const ON_PROCESSOR: Compute = Compute::Kernels { threads: 3, precision: Precision::F32 };

    /// Where the model comes to be when the device answers so.
    fn with_device(device: ModelDevice, answer: impl Fn() -> Result<(), ModelError>) -> Loaded {
        load(&wanted(device, ModelPrecision::Auto), ON_PROCESSOR, None, |compute| match compute {
            Compute::Cuda => answer().map(|()| compute),
            _ => Ok(compute),
        })
    }

    fn without_device(device: ModelDevice, precision: ModelPrecision) -> Loaded {
        load(&wanted(device, precision), ON_PROCESSOR, Some(Obstacle::NoDriver), |compute| {
            assert_ne!(compute, Compute::Cuda);
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
            assert_eq!(with_device(device, || Ok(())).unwrap(), (Compute::Cuda, None));
        }
        let unasked = || panic!("the device was asked");
        assert_eq!(with_device(ModelDevice::Cpu, unasked).unwrap(), (ON_PROCESSOR, None));
    }

    #[test]
    fn the_processor_takes_over_and_the_reason_is_known() {
        let (compute, obstacle) = without_device(ModelDevice::Auto, ModelPrecision::F32).unwrap();
        assert_eq!((compute, obstacle), (ON_PROCESSOR, Some(Obstacle::NoDriver)));
        let no_device = || Err(ModelError::Device(TensorFault::from(candle_core::Error::msg("no device"))));
        let (compute, obstacle) = with_device(ModelDevice::Auto, no_device).unwrap();
        assert_eq!(compute, ON_PROCESSOR);
        assert_eq!(obstacle.unwrap().to_string(), "no NVIDIA device can be used: no device");
        let (compute, obstacle) = with_device(ModelDevice::Auto, || Err(other_answer())).unwrap();
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
        assert!(with_device(ModelDevice::Cuda, || Err(other_answer())).is_err());
    }

    #[test]
    fn narrow_numbers_are_computed_on_the_processor() {
        for precision in [ModelPrecision::Int8, ModelPrecision::Bf16] {
            let (compute, obstacle) = without_device(ModelDevice::Auto, precision).unwrap();
            assert_eq!(compute, ON_PROCESSOR);
            assert_eq!(obstacle, Some(Obstacle::OnProcessor(precision.name())));
        }
    }

    #[test]
    fn auto_is_what_the_package_allows() {
        let reference = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference"));
        let mut manifest = Package::manifest_in(reference).unwrap();
        let numbers =
            |wanted, manifest: &Manifest| match on_processor(&self::wanted(ModelDevice::Cpu, wanted), manifest) {
                Compute::Kernels { precision, threads: 3 } => precision,
                other => panic!("{other:?}"),
            };
        assert_eq!(numbers(ModelPrecision::Auto, &manifest), Precision::automatic(&manifest));
        assert_eq!(numbers(ModelPrecision::Bf16, &manifest), Precision::Bf16);
        assert_eq!(numbers(ModelPrecision::Int8, &manifest), Precision::Int8);
        manifest.bf16 = None;
        assert_eq!(numbers(ModelPrecision::Auto, &manifest), Precision::F32);
    }

    #[test]
    fn a_package_that_cannot_serve_is_not_tried_again_on_the_processor() {
        let damaged = || {
            let (path, cause) = (PathBuf::from("model.toml"), "damaged".to_owned());
            Err(ModelError::Package(PackageError::Manifest { path, cause }))
        };
        let message = with_device(ModelDevice::Auto, damaged).unwrap_err().to_string();
        assert!(message.contains("model.toml: damaged"), "{message}");
    }
}
