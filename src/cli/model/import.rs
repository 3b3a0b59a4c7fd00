//! `auscult model import`: other software's weights become a package.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cli::{log, naming};
use crate::config::{Log, LogLevel};
use crate::finding::Probability;
use crate::model::{Draft, Head, Manifest, Output, Package, Trunk, Variant};

/// Make a package of ResNet-50 weights with a head of Dense 128 ReLU and Dense.
///
/// The file is safetensors: with torchvision's names, where the head is fc.0 and fc.2, or with those of Keras' ResNet50
/// (conv1_conv/kernel and so on), where the head is two Dense layers of any name. The trunk must be followed by global average pooling.
/// The preprocessing is that of the library's models for ImageNet. The package has no figures and no plausibility gate yet.
#[derive(clap::Args)]
pub(in crate::cli) struct Import {
    /// Weights as safetensors
    #[arg(value_name = "FILE")]
    weights: PathBuf,
    /// Directory of the package that is made
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Names of the classes, in the order of the outputs
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME,NAME,...")]
    labels: Vec<String>,
    /// The class whose probability is reported [default: the last one]
    #[arg(long, value_name = "CLASS")]
    positive: Option<String>,
    /// Probabilities from here on are flagged
    #[arg(long, value_name = "PROBABILITY", default_value = "0.5")]
    threshold: f64,
    /// Name of the model in reports [default: the name of the --out directory]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Version of the model in reports
    #[arg(long, value_name = "VERSION", default_value = "0.1.0")]
    model_version: String,
}

impl Import {
    pub(super) fn run(self) -> Result<()> {
        log::start(&Log { level: LogLevel::Warn, ..Log::default() });
        if self.out.join(Package::MANIFEST).exists() {
            bail!("{} is a model package already; name another directory with --out", self.out.display());
        }
        let naming = naming(self.name.as_deref(), &self.model_version, &self.out)?;
        let file = self.weights.display();
        let trunk = Trunk::open(&self.weights, 0)?;
        let head = trunk.head().with_context(|| {
            format!(
                "{file}: no head of Dense {} and Dense, so it cannot answer; auscult train --init {file} trains one on it",
                Head::HIDDEN
            )
        })?;
        let output = self.output(head.logits.bias.len())?;
        let draft = Draft::new(&trunk, &[], &head, naming, output)?;
        let origin = trunk.origin();
        let card = card(draft.manifest(), origin);
        let imported = toml::Table::from_iter([("imported_from".to_owned(), origin.into())]);
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        draft.write(&self.out, toml::Table::new(), imported, &card)?;
        Ok(writeln!(io::stdout(), "{}: {} from {origin}", self.out.display(), trunk.variant())?)
    }

    fn output(&self, outputs: usize) -> Result<Output> {
        let labels = &self.labels;
        if labels.len() > outputs {
            bail!("--labels names {} classes, the file has {outputs} outputs", labels.len());
        }
        let positive = self.positive.as_ref().or(labels.last()).cloned().unwrap_or_default();
        if !labels.contains(&positive) {
            bail!("--positive {positive}: no such class; --labels names {}", labels.join(", "));
        }
        let threshold = Probability::try_from(self.threshold).context("--threshold")?;
        Ok(Output::of(labels, outputs, positive, threshold))
    }
}

fn card(manifest: &Manifest, origin: &str) -> String {
    let library = match manifest.architecture {
        Variant::Spatial => "torchvision",
        Variant::Reduce => "Keras",
    };
    format!(
        "{}\n\nImported from {origin}. The preprocessing is that of {library}'s models for ImageNet, on {}x{} pixels. \
         Nothing was measured: evaluate it before use (`auscult evaluate`), and fit a plausibility gate to it (`auscult \
         model gate`).\n",
        manifest.card_opening(),
        manifest.input.width,
        manifest.input.height,
    )
}
