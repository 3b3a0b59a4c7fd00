//! `model.toml`: what a model package says of itself. Training writes it, the service reads it.

use serde::{Deserialize, Serialize};

use super::architecture::{Architecture, Variant};
use super::engine::Precision;
use crate::config::toml_fault;
use crate::finding::{AgeRange, OperatingPoint, Probability};

/// The only package format there is.
const FORMAT: u32 = 1;

/// How far a device's answer to the self-test may be from that of the device that wrote the package.
const SELF_TEST_TOLERANCE: f64 = 1e-3;

/// The manifest of a model package.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the package, 1.
    pub format: u32,
    /// Name, as the report gives it.
    pub name: String,
    /// Version, as the report gives it.
    pub version: String,
    /// ResNet-50 without its top, Dense 128 ReLU, Dense softmax: `resnet50-dense128` or `resnet50v1-dense128`.
    pub architecture: Variant,
    /// SHA-256 of `model.safetensors`, hexadecimal.
    pub sha256: String,
    /// What its reports may be called: a model is for research until its maker says otherwise.
    #[serde(default)]
    pub qualification: Qualification,
    /// The patients' ages, in completed years, that the model is made for; none means all. Images of others are not
    /// analysed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intended_age_years: Option<AgeRange>,
    /// How an image becomes a tensor.
    pub input: InputSpec,
    /// What the outputs mean.
    pub output: Output,
    /// What tells chest radiographs from other pictures; none: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plausibility: Option<PlausibilitySpec>,
    /// The part with which it is computed in eight bits; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<Int8Spec>,
    /// How the model answers in f16, if its figures allow that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f16: Option<HalfSpec>,
    /// How the model answers in bf16, if its figures allow that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16: Option<HalfSpec>,
    /// On which data the model was measured, and the figures; free tables for readers and pages.
    #[serde(default)]
    pub performance: toml::Table,
    /// Where the weights come from; a free table.
    #[serde(default)]
    pub training: toml::Table,
    /// What the model must answer before it may serve.
    pub self_test: SelfTest,
}

/// `qualification`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Qualification {
    /// For research only.
    #[default]
    Research,
    /// Cleared by its maker for use on patients.
    Product,
}

/// `[input]`: the preprocessing.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Columns of the network's input.
    pub width: u32,
    /// Rows of the network's input.
    pub height: u32,
    /// Equal channels, 3.
    pub channels: u32,
    /// Which part of the image is the picture.
    #[serde(default)]
    pub crop: Crop,
    /// How the picture is fitted.
    pub resize: Resize,
    /// The resampling filter.
    pub filter: Filter,
    /// Subtracted from each channel of the luminance 0..=1.
    pub mean: [f32; 3],
    /// Each channel is divided by it afterwards.
    pub std: [f32; 3],
}

/// `input.crop`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// The whole image.
    #[default]
    None,
    /// The rectangle around what the header's shutters and collimator leave open (PS3.3 C.7.6.11, C.8.7.3), without dark and
    /// white borders.
    Collimation,
}

impl InputSpec {
    /// What torchvision's models of ImageNet take.
    pub fn imagenet() -> Self {
        Self {
            width: 224,
            height: 224,
            channels: 3,
            crop: Crop::None,
            resize: Resize::Stretch,
            filter: Filter::Bilinear,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// What Keras' ResNet-50 takes: values 0 to 255 less their mean in ImageNet, blue before green and red.
    pub fn keras() -> Self {
        let mean = [103.939, 116.779, 123.68].map(|mean: f32| mean / 255.0);
        Self { mean, std: [1.0 / 255.0; 3], ..Self::imagenet() }
    }
}

/// `input.resize`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// The picture fills the input; its aspect ratio is lost, and the shape of its pixels makes no difference.
    Stretch,
    /// The picture touches two sides of the input and keeps its proportions, those of the body: pixels that are no square
    /// (Pixel Aspect Ratio, unequal spacing) become square. The bars beside it are black, luminance 0.
    Fit,
}

/// `input.filter`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Triangle filter whose support grows with the reduction (Pillow's BILINEAR).
    Bilinear,
}

/// `[output]`: what the outputs mean.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// One label per output of the network.
    pub labels: Vec<String>,
    /// The label whose probability is reported.
    pub positive: String,
    /// Scores at or above it are flagged.
    pub threshold: Probability,
    /// Scores below the threshold and at or above it are undetermined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undetermined_from: Option<Probability>,
}

impl Output {
    /// So many outputs, the first of which are classes; the spare ones are never right.
    pub fn of(classes: &[String], outputs: usize, positive: String, threshold: Probability) -> Self {
        let spare = (classes.len()..outputs).map(|output| format!("unused-{output}"));
        let labels = classes.iter().cloned().chain(spare).collect();
        Self { labels, positive, threshold, undetermined_from: None }
    }

    /// Index of the reported label among the outputs.
    pub fn positive_index(&self) -> usize {
        self.labels.iter().position(|label| *label == self.positive).unwrap_or(usize::MAX)
    }

    /// Where a score turns into a statement.
    pub fn operating_point(&self) -> OperatingPoint {
        OperatingPoint::new(self.threshold, self.undetermined_from)
    }
}

/// `[plausibility]`: the gate that declines what does not look like a chest radiograph.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PlausibilitySpec {
    /// SHA-256 of `gate.safetensors`, hexadecimal.
    pub sha256: String,
    /// Images are accepted from this score on.
    pub threshold: f64,
}

/// `[int8]`: the part with which the model is computed in eight bits.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Int8Spec {
    /// SHA-256 of `int8.safetensors`, hexadecimal.
    pub sha256: String,
    /// What the model must answer in eight bits before it may serve so.
    pub self_test: SelfTest,
}

/// `[f16]` and `[bf16]`: the model may be computed in numbers of half the size.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HalfSpec {
    /// What the model must answer in them before it may serve so.
    pub self_test: SelfTest,
}

/// `[self_test]`: a built-in image and what the model answers to it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    /// The built-in image.
    pub input: SelfTestInput,
    /// Expected probabilities, in the order of `output.labels`.
    pub probabilities: Vec<f64>,
    /// Largest allowed difference of each.
    pub tolerance: f64,
}

/// `self_test.input`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfTestInput {
    /// Luminance `(x + y) / (width + height - 2)` at the input's own size.
    Ramp,
}

impl Manifest {
    /// What every model card begins with, in Markdown: whose it is, what it may be used for, and what the network is.
    pub fn card_opening(&self) -> String {
        let Self { name, version, sha256, output, .. } = self;
        format!(
            "# {name} {version}: model card\n\n\
             **Research use only. Not a medical device; not validated for any clinical decision.**\n\n\
             ResNet-50, Dense 128 ReLU, Dense softmax over {}; the reported label is `{}`, flagged from {} on. \
             Weights: SHA-256 `{sha256}`.",
            output.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", "),
            output.positive,
            output.threshold.fraction(),
        )
    }

    /// What the model must answer in some numbers; None where it is not prepared for them.
    pub(super) fn self_test_in(&self, precision: Precision) -> Option<&SelfTest> {
        match precision {
            Precision::F32 => Some(&self.self_test),
            Precision::F16 => self.f16.as_ref().map(|f16| &f16.self_test),
            Precision::Bf16 => self.bf16.as_ref().map(|bf16| &bf16.self_test),
            Precision::Int8 => self.int8.as_ref().map(|int8| &int8.self_test),
        }
    }

    /// The layers of its network.
    pub(super) fn network(&self) -> Architecture {
        Architecture::resnet50(self.architecture, self.output.labels.len())
    }

    /// Reads and checks a manifest; the error says what is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| toml_fault(text, &error))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// A manifest for research, without figures and with a self-test whose answer is still to be computed.
    pub(super) fn new(
        (name, version): (String, String),
        (architecture, sha256): (Variant, String),
        input: InputSpec,
        output: Output,
    ) -> Self {
        let probabilities = vec![0.0; output.labels.len()];
        let self_test = SelfTest { input: SelfTestInput::Ramp, probabilities, tolerance: SELF_TEST_TOLERANCE };
        Self {
            format: FORMAT,
            name,
            version,
            architecture,
            sha256,
            qualification: Qualification::Research,
            intended_age_years: None,
            input,
            output,
            plausibility: None,
            int8: None,
            f16: None,
            bf16: None,
            performance: toml::Table::new(),
            training: toml::Table::new(),
            self_test,
        }
    }

    /// What is wrong with it, in one line.
    pub(super) fn check(&self) -> Result<(), String> {
        let require = |holds: bool, message: &str| if holds { Ok(()) } else { Err(message.to_owned()) };
        require(self.format == FORMAT, "format is not 1; this version of Auscult reads no other")?;
        plain("name", &self.name)?;
        plain("version", &self.version)?;
        let digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        require(digest(&self.sha256), "sha256 must be 64 hexadecimal digits")?;
        if let Some(gate) = &self.plausibility {
            require(digest(&gate.sha256), "plausibility.sha256 must be 64 hexadecimal digits")?;
            require((-10.0..=10.0).contains(&gate.threshold), "plausibility.threshold must lie between -10 and 10")?;
        }
        let input = &self.input;
        let sides = (32..=1024).contains(&input.width) && (32..=1024).contains(&input.height);
        require(sides && input.channels == 3, "input must have 3 channels and sides from 32 to 1024")?;
        let finite = input.mean.iter().chain(&input.std).all(|v| v.is_finite());
        require(finite && input.std.iter().all(|v| *v > 0.0), "input.mean and input.std must be finite, std above 0")?;
        require(self.output.labels.len() >= 2, "output.labels must name at least two labels")?;
        require(self.output.labels.contains(&self.output.positive), "output.positive must be one of output.labels")?;
        if let Some(int8) = &self.int8 {
            require(digest(&int8.sha256), "int8.sha256 must be 64 hexadecimal digits")?;
            int8.self_test.check("int8.self_test", self.output.labels.len())?;
        }
        for (key, half) in [("f16.self_test", &self.f16), ("bf16.self_test", &self.bf16)] {
            if let Some(half) = half {
                half.self_test.check(key, self.output.labels.len())?;
            }
        }
        self.self_test.check("self_test", self.output.labels.len())
    }
}

impl SelfTest {
    fn check(&self, key: &str, labels: usize) -> Result<(), String> {
        if self.probabilities.len() != labels {
            return Err(format!("{key}.probabilities must have one per label"));
        }
        let allowed = self.tolerance > 0.0 && self.tolerance <= 0.05;
        if allowed { Ok(()) } else { Err(format!("{key}.tolerance must be above 0, at most 0.05")) }
    }
}

/// That a name fits into a report.
pub(super) fn plain(key: &str, value: &str) -> Result<(), String> {
    let plain = value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
    let fits = plain && !value.is_empty() && value.len() <= 32;
    if fits { Ok(()) } else { Err(format!("{key} = {value:?} must be 1 to 32 ASCII characters")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Presence;

    const REFERENCE: &str = include_str!("../../models/cxr-pneumonia-reference/model.toml");

    #[test]
    fn the_reference_manifest_reads() {
        let manifest = Manifest::parse(REFERENCE).unwrap();
        assert_eq!((manifest.input.crop, manifest.input.resize), (Crop::None, Resize::Stretch));
        assert_eq!(manifest.output.positive_index(), 1);
        assert_eq!(manifest.output.threshold.percent(), 50.0);
    }

    #[test]
    fn a_manifest_may_say_for_whom_its_model_is_and_where_it_is_undecided() {
        let text = REFERENCE
            .replace("\n[input]", "intended_age_years = [18, 120]\n[input]")
            .replace("threshold = 0.5", "threshold = 0.5\nundetermined_from = 0.3");
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!(manifest.intended_age_years.map(<[u32; 2]>::from), Some([18, 120]));
        let point = manifest.output.operating_point();
        let said = [0.5, 0.4, 0.2].map(|score| point.presence(Probability::try_from(score).unwrap()));
        assert_eq!(said, [Presence::Present, Presence::Undetermined, Presence::Absent]);
    }

    #[test]
    fn faults_are_named() {
        let broken = |from: &str, to: &str| Manifest::parse(&REFERENCE.replace(from, to)).unwrap_err();
        assert!(broken("positive = \"pneumonia\"", "positive = \"flu\"").contains("output.positive"));
        assert!(broken("format = 1", "format = 2").contains("format"));
        assert!(broken("threshold = 0.5", "threshold = 50").contains("not between 0 and 1"));
        assert!(broken("\n[input]", "intended_age_years = [90, 18]\n[input]").contains("no range of ages"));
        assert!(broken("\"bilinear\"", "\"lanczos\"").contains("lanczos"));
        assert!(broken("tolerance = 1e-3", "tolerance = 2").contains("self_test.tolerance"));
        assert!(broken("channels = 3", "channels = 3\nchanels = 3").contains("chanels"));
    }
}
