//! The sheet of the worst errors: the images of validation and test that the finished model is most certain of, and
//! wrong, with the places that speak for the reported label. Neither a file's name nor anything of the patient is on it.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};

use super::account::{Account, Parts};
use super::{Image, TrainError};
use crate::dataset::{Example, Part};
use crate::heat::{Extent, HeatMap, Point, warmed};
use crate::model::{InputError, Model, ModelError};
use crate::performance::{Drawing, Scored};
use crate::pixels::{Decoder, Radiograph};
use crate::plot::{Pair, Sheet};

/// Errors that are shown.
const SHOWN: usize = 6;

/// Longer side of a picture, in pixels.
const LONGER_SIDE: f64 = 440.0;

/// An image whose most probable label is another one than its own.
struct Mistake<'a> {
    part: Part,
    example: &'a Example,
    said: &'a Scored,
}

impl Mistake<'_> {
    /// How certain the model was of its answer.
    fn certainty(&self) -> f64 {
        self.said.probabilities.get(self.said.answer()).copied().unwrap_or(f64::NAN)
    }
}

/// The sheet; `None` where every answer is right, or none is a number. `parts` are what the model said of `images`, part by part.
pub(super) fn worst_errors(
    account: &Account<'_>,
    (parts, images): (&Parts, impl Fn(Part) -> Vec<Image>),
    model: &Model,
    decoder: &Decoder,
) -> Result<Option<Drawing>, TrainError> {
    let mut mistakes: Vec<Mistake<'_>> = Vec::new();
    for (part, said) in parts.iter().filter(|(part, _)| *part != Part::Training) {
        for (image, said) in images(*part).iter().zip(said) {
            let example = account.dataset.examples().get(image.index).filter(|_| said.answer() != said.class);
            let mistake = example.map(|example| Mistake { part: *part, example, said });
            mistakes.extend(mistake.filter(|mistake| mistake.certainty().is_finite()));
        }
    }
    let all = mistakes.len();
    if all == 0 {
        return Ok(None);
    }
    mistakes.sort_by(|a, b| b.certainty().total_cmp(&a.certainty()));
    let pairs = mistakes.iter().take(SHOWN).map(|mistake| pair(account, mistake, model, decoder));
    let sheet = Sheet {
        title: format!("The {} most certain of {all} wrong answers on validation and test", all.min(SHOWN)),
        note: format!("Right: what speaks for {}, from yellow, a little, to red, most", account.output.positive),
        entries: pairs.collect::<Result<_, _>>()?,
    };
    Ok(Some(Drawing { name: "worst-errors", svg: sheet.svg() }))
}

fn pair(account: &Account<'_>, mistake: &Mistake<'_>, model: &Model, decoder: &Decoder) -> Result<Pair, TrainError> {
    let Mistake { part, example, said } = mistake;
    let undecodable = |cause: InputError| account.dataset.undecodable(example.path.clone(), &cause);
    let radiograph = decoder.read(&example.path).map_err(|cause| undecodable(cause.into()))?;
    let framed = model.input().framed(&radiograph).map_err(undecodable)?;
    let heat = model.explain(&framed)?.heat;
    let extent = size(&radiograph);
    let luminance = radiograph.resampled(extent.rows as usize, extent.columns as usize);
    let luminance = luminance.map_err(|cause| undecodable(cause.into()))?;
    let picture = |heat: Option<&HeatMap>| png(&luminance, extent, heat).map_err(|fault| unwritten(&fault));
    let label = |index: usize| account.output.labels.get(index).map_or("", String::as_str);
    let place = example.line.map_or_else(String::new, |line| format!("line {line} of the table, "));
    let digest: String = example.digest.to_hex().chars().take(12).collect();
    let certainty = 100.0 * mistake.certainty();
    Ok(Pair {
        pictures: [picture(None)?, picture(Some(&heat))?],
        extent: (extent.rows, extent.columns),
        lines: vec![
            format!("Answer {} ({certainty:.1} %), truth {}", label(said.answer()), label(said.class)),
            format!("{part}, {place}BLAKE3 {digest}"),
        ],
    })
}

/// The radiograph's size on the sheet, with square pixels.
fn size(image: &Radiograph) -> Extent {
    let (width, height) = (image.columns as f64, image.rows as f64 * image.geometry.shape.tallness());
    let scale = LONGER_SIDE / width.max(height);
    let side = |length: f64| ((length * scale).round() as u32).max(1);
    Extent { rows: side(height), columns: side(width) }
}

/// A PNG file of luminance, under heat if there is one.
fn png(luminance: &[f32], extent: Extent, heat: Option<&HeatMap>) -> Result<Vec<u8>, ImageError> {
    let pixel = |(index, luminance): (usize, &f32)| {
        let (row, column) = (index / extent.columns as usize, index % extent.columns as usize);
        let centre = Point { column: column as f32 + 0.5, row: row as f32 + 0.5 };
        warmed(*luminance, heat.map_or(0.0, |heat| heat.at(centre, extent)))
    };
    let rgb: Vec<u8> = luminance.iter().enumerate().flat_map(pixel).collect();
    let mut octets = Vec::new();
    PngEncoder::new(&mut octets).write_image(&rgb, extent.columns, extent.rows, ExtendedColorType::Rgb8)?;
    Ok(octets)
}

fn unwritten(fault: &ImageError) -> ModelError {
    ModelError::on_processor(candle_core::Error::msg(fault.to_string()))
}
