//! ResNet-50 (He et al. 2016, torchvision's names), global average pooling, Dense 128 ReLU and a Dense layer
//! of logits: which layers there are and how they follow each other, whatever computes them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which ResNet-50 a network is: they differ in where the first block of a stage halves the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Variant {
    /// In its 3x3 convolution, as torchvision has it (ResNet-50 v1.5).
    #[serde(rename = "resnet50-dense128")]
    Spatial,
    /// In its first 1x1 convolution, as He et al. 2016 and Keras have it (ResNet-50 v1).
    #[serde(rename = "resnet50v1-dense128")]
    Reduce,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Width of the Dense layer between trunk and logits.
pub(super) const HIDDEN: usize = 128;

/// Blocks, width of the inner convolutions and stride of each stage.
const STAGES: [(usize, usize, usize); 4] = [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)];

/// A block's output is this many times as wide as its inner convolutions.
const EXPANSION: usize = 4;

/// A square kernel: how wide, and how far it steps. Half of its size is the padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) size: usize,
    pub(super) stride: usize,
}

/// One layer with weights. A Dense layer is a convolution of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Its tensors are `NAME.weight` and, without batch normalisation, `NAME.bias`.
    pub(super) name: String,
    /// Its batch normalisation's tensors are `NORM.weight` and so on.
    pub(super) norm: Option<String>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: Kernel,
}

/// A bottleneck block, as indices of its layers: 1x1, 3x3, 1x1, and the way round them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bottleneck {
    pub(super) reduce: usize,
    pub(super) spatial: usize,
    pub(super) expand: usize,
    pub(super) shortcut: Option<usize>,
}

/// Where values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Image,
    /// The output of a layer.
    Layer(usize),
}

/// Where a convolution's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sources {
    pub(super) input: Source,
    /// What is added to its sums.
    pub(super) added: Option<Source>,
}

/// The network as a list of layers, and their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Architecture {
    pub(super) variant: Variant,
    pub(super) layers: Vec<Layer>,
    pub(super) stem: usize,
    /// The stages up to the last but one.
    pub(super) early: Vec<Bottleneck>,
    /// The last stage.
    pub(super) last: Vec<Bottleneck>,
    pub(super) hidden: usize,
    pub(super) logits: usize,
}

impl Architecture {
    /// Pixels of the input between two places of the last stage but one.
    pub(super) const STRIDE: u16 = 16;

    /// Channels of the last stage.
    pub(super) const FEATURES: usize = 512 * EXPANSION;

    /// With so many logits; `fc.0` and `fc.2` are the Dense layers.
    pub(super) fn resnet50(variant: Variant, outputs: usize) -> Self {
        let mut layers = Vec::new();
        let stem = add(&mut layers, "conv1", Some("bn1"), (3, 64), Kernel { size: 7, stride: 2 });
        let (mut early, mut last) = (Vec::new(), Vec::new());
        let mut inputs = 64;
        for (stage, (count, width, stride)) in (1..).zip(STAGES) {
            let blocks = if stage == STAGES.len() { &mut last } else { &mut early };
            for block in 0..count {
                let stride = if block == 0 { stride } else { 1 };
                let strides = Strides { variant, stride };
                blocks.push(bottleneck(&mut layers, &format!("layer{stage}.{block}"), (inputs, width), strides));
                inputs = width * EXPANSION;
            }
        }
        let hidden = add(&mut layers, "fc.0", None, (inputs, HIDDEN), Kernel { size: 1, stride: 1 });
        let logits = add(&mut layers, "fc.2", None, (HIDDEN, outputs), Kernel { size: 1, stride: 1 });
        Self { variant, layers, stem, early, last, hidden, logits }
    }

    /// Of each layer; none for the Dense layers.
    pub(super) fn sources(&self) -> Vec<Option<Sources>> {
        let mut all = vec![None; self.layers.len()];
        let mut set = |layer: usize, input, added| {
            if let Some(sources) = all.get_mut(layer) {
                *sources = Some(Sources { input, added });
            }
        };
        set(self.stem, Source::Image, None);
        let mut x = self.stem;
        for Bottleneck { reduce, spatial, expand, shortcut } in self.early.iter().chain(&self.last).copied() {
            set(reduce, Source::Layer(x), None);
            set(spatial, Source::Layer(reduce), None);
            if let Some(shortcut) = shortcut {
                set(shortcut, Source::Layer(x), None);
            }
            set(expand, Source::Layer(spatial), Some(Source::Layer(shortcut.unwrap_or(x))));
            x = expand;
        }
        all
    }
}

/// How far a block steps, and where in it.
struct Strides {
    variant: Variant,
    stride: usize,
}

fn bottleneck(
    layers: &mut Vec<Layer>,
    name: &str,
    (inputs, width): (usize, usize),
    Strides { variant, stride }: Strides,
) -> Bottleneck {
    let (of_reduce, of_spatial) = match variant {
        Variant::Spatial => (1, stride),
        Variant::Reduce => (stride, 1),
    };
    let outputs = width * EXPANSION;
    let mut part = |index: usize, channels, size, stride| {
        let (path, norm) = (format!("{name}.conv{index}"), format!("{name}.bn{index}"));
        add(layers, &path, Some(&norm), channels, Kernel { size, stride })
    };
    let reduce = part(1, (inputs, width), 1, of_reduce);
    let spatial = part(2, (width, width), 3, of_spatial);
    let expand = part(3, (width, outputs), 1, 1);
    let shortcut = (inputs != outputs || stride != 1).then(|| {
        let (path, norm) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
        add(layers, &path, Some(&norm), (inputs, outputs), Kernel { size: 1, stride })
    });
    Bottleneck { reduce, spatial, expand, shortcut }
}

fn add(layers: &mut Vec<Layer>, name: &str, norm: Option<&str>, channels: (usize, usize), kernel: Kernel) -> usize {
    let (inputs, outputs) = channels;
    layers.push(Layer { name: name.to_owned(), norm: norm.map(str::to_owned), inputs, outputs, kernel });
    layers.len() - 1
}
