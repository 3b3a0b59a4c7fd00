//! The focus as an overlay on the original image: Grayscale Softcopy Presentation State (PS3.3 A.33.1), which shows the
//! image as it was shown to the model, with the region and the result in a layer of their own.

use dicom::core::{DataElement, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::{tags, uids};
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

use super::{Explained, Kind, Occasion, anatomy, decimal, short};
use crate::heat::{Extent, Region};
use crate::pixels::{ModalityStep, PixelShape, Polarity, VoiFunction, VoiStep};
use crate::sr::attribute::element;
use crate::sr::content::{sequence, sop_reference};
use crate::sr::dates::moment;
use crate::sr::document::{Report, SrError};

const KIND: Kind = Kind {
    name: "presentation state",
    sop_class: uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE,
    modality: "PR",
    series: 2,
    description: "AI: focus, not for diagnosis",
};

/// The one graphic layer.
const LAYER: &str = "AI";

/// The focus of one analysed image and the result, to be drawn over that image.
///
/// # Errors
/// [`SrError::Sources`] when the image is none of the finding's; [`SrError::Encoding`].
pub fn presentation_state(occasion: &Occasion, image: &Explained) -> Result<Report, SrError> {
    let number = occasion.number(image.source)?;
    let side = |pixels: usize| u32::try_from(pixels).map_err(|error| SrError::Encoding(error.to_string()));
    let extent = Extent { rows: side(image.radiograph.rows)?, columns: side(image.radiograph.columns)? };
    let focus = image.heat.focus(extent);
    let mut own = identification(occasion, image);
    own.extend(anatomy(image.source.header.octets()));
    own.extend(grey_scale(image));
    own.push(displayed_area(extent, image.radiograph.geometry.shape));
    own.extend(graphics(occasion, image, focus.as_ref()));
    occasion.companion(&KIND, image.source, number, own)
}

/// Presentation State Identification and Relationship (C.11.10, C.11.11).
fn identification(occasion: &Occasion, image: &Explained) -> Vec<InMemElement> {
    let moment = moment(std::slice::from_ref(image.source), occasion.now);
    let series = InMemDicomObject::from_element_iter([
        element(tags::SERIES_INSTANCE_UID, VR::UI, image.source.reference.series.as_str()),
        sequence(tags::REFERENCED_IMAGE_SEQUENCE, vec![sop_reference(&image.source.reference)]),
    ]);
    vec![
        element(tags::CONTENT_LABEL, VR::CS, "AI_FOCUS"),
        element(tags::CONTENT_DESCRIPTION, VR::LO, occasion.finding.headline()),
        element(tags::CONTENT_CREATOR_NAME, VR::PN, ""),
        element(tags::PRESENTATION_CREATION_DATE, VR::DA, moment.format("%Y%m%d").to_string()),
        element(tags::PRESENTATION_CREATION_TIME, VR::TM, moment.format("%H%M%S").to_string()),
        sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series]),
    ]
}

/// Modality LUT, Softcopy VOI LUT and Softcopy Presentation LUT (C.11.1, C.11.8, C.11.6): as the model saw the image.
fn grey_scale(image: &Explained) -> Vec<InMemElement> {
    let rendering = &image.radiograph.rendering;
    let shape = match rendering.polarity {
        Polarity::LowIsBlack => "IDENTITY",
        Polarity::HighIsBlack => "INVERSE",
    };
    let mut elements = vec![element(tags::PRESENTATION_LUT_SHAPE, VR::CS, shape)];
    match rendering.modality {
        ModalityStep::Rescale { slope, intercept } => elements.extend([
            element(tags::RESCALE_INTERCEPT, VR::DS, decimal(intercept)),
            element(tags::RESCALE_SLOPE, VR::DS, decimal(slope)),
            element(tags::RESCALE_TYPE, VR::LO, "US"),
        ]),
        ModalityStep::Table => {
            let kept = [tags::LUT_DESCRIPTOR, tags::MODALITY_LUT_TYPE, tags::LUT_DATA];
            elements.extend(first_table(image, tags::MODALITY_LUT_SEQUENCE, &kept).map(in_sequence));
        }
    }
    let item = match rendering.voi {
        VoiStep::Table => {
            let table =
                first_table(image, tags::VOILUT_SEQUENCE, &[tags::LUT_DESCRIPTOR, tags::LUT_DATA]).map(in_16_bits);
            table.map(in_sequence).into_iter().collect()
        }
        VoiStep::Window { function, centre, width } => window(function, centre, width),
        // LINEAR, whose black is at centre - width / 2 and whose white at centre + width / 2 - 1.
        VoiStep::Extent { low, high } => {
            let width = (high - low + 1.0).max(1.0);
            window(VoiFunction::Linear, low + width / 2.0, width)
        }
    };
    elements.push(sequence(tags::SOFTCOPY_VOILUT_SEQUENCE, vec![InMemDicomObject::from_element_iter(item)]));
    elements
}

fn window(function: VoiFunction, centre: f64, width: f64) -> Vec<InMemElement> {
    let mut elements = vec![
        element(tags::WINDOW_CENTER, VR::DS, decimal(centre)),
        element(tags::WINDOW_WIDTH, VR::DS, decimal(width)),
    ];
    if function != VoiFunction::Linear {
        elements.push(element(tags::VOILUT_FUNCTION, VR::CS, function.defined_term()));
    }
    elements
}

/// The first look-up table of a sequence of the image, with these attributes of it.
fn first_table(image: &Explained, tag: Tag, kept: &[Tag]) -> Option<(Tag, InMemDicomObject)> {
    let table = image.source.header.items(tag).first()?;
    let elements = kept.iter().filter_map(|tag| table.get(*tag).cloned());
    Some((tag, InMemDicomObject::from_element_iter(elements)))
}

/// A VOI LUT whose results have 9 to 15 bits with results of 16: a presentation state may have 8 or 16 only.
fn in_16_bits((tag, mut table): (Tag, InMemDicomObject)) -> (Tag, InMemDicomObject) {
    let words = |tag| table.get(tag).and_then(|element| element.to_multi_int::<i32>().ok()).unwrap_or_default();
    let (descriptor, data) = (words(tags::LUT_DESCRIPTOR), words(tags::LUT_DATA));
    if let [length, first, bits @ 9..=15] = *descriptor.as_slice()
        && length as usize % (1 << 16) == data.len() % (1 << 16)
    {
        let most = (1_i64 << bits) - 1;
        let scaled = data.iter().map(|value| (i64::from(*value).clamp(0, most) * 0xffff / most) as u16);
        table.put(DataElement::new(tags::LUT_DATA, VR::OW, PrimitiveValue::U16(scaled.collect())));
        let vr = if first < 0 { VR::SS } else { VR::US };
        let words = [length as u16, first as u16, 16];
        let words = match vr {
            VR::SS => PrimitiveValue::I16(words.map(u16::cast_signed).as_slice().into()),
            _ => PrimitiveValue::U16(words.as_slice().into()),
        };
        table.put(DataElement::new(tags::LUT_DESCRIPTOR, vr, words));
    }
    (tag, table)
}

fn in_sequence((tag, item): (Tag, InMemDicomObject)) -> InMemElement {
    sequence(tag, vec![item])
}

/// Displayed Area (C.10.4): the whole image, with the shape that its pixels have.
fn displayed_area(extent: Extent, shape: PixelShape) -> InMemElement {
    let corner = |tag, column: u32, row: u32| {
        let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        DataElement::new(tag, VR::SL, PrimitiveValue::I32([side(column), side(row)].as_slice().into()))
    };
    let shape = match shape {
        PixelShape::Ratio { vertical, horizontal } => {
            element(tags::PRESENTATION_PIXEL_ASPECT_RATIO, VR::IS, format!("{vertical}\\{horizontal}"))
        }
        PixelShape::Spacing { vertical, horizontal } => {
            let spacing = format!("{}\\{}", decimal(vertical), decimal(horizontal));
            element(tags::PRESENTATION_PIXEL_SPACING, VR::DS, spacing)
        }
    };
    let area = InMemDicomObject::from_element_iter([
        corner(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, 1, 1),
        corner(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, extent.columns, extent.rows),
        element(tags::PRESENTATION_SIZE_MODE, VR::CS, "SCALE TO FIT"),
        shape,
    ]);
    sequence(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, vec![area])
}

/// Graphic Annotation and Graphic Layer (C.10.5, C.10.7).
fn graphics(occasion: &Occasion, image: &Explained, focus: Option<&Region>) -> [InMemElement; 2] {
    let caption = occasion.caption();
    let position = |tag, x: f32, y: f32| DataElement::new(tag, VR::FL, PrimitiveValue::F32([x, y].as_slice().into()));
    let text = InMemDicomObject::from_element_iter([
        element(tags::BOUNDING_BOX_ANNOTATION_UNITS, VR::CS, "DISPLAY"),
        element(tags::UNFORMATTED_TEXT_VALUE, VR::ST, format!("{}\r\n{}", caption.result, caption.caution)),
        position(tags::BOUNDING_BOX_TOP_LEFT_HAND_CORNER, 0.02, 0.02),
        position(tags::BOUNDING_BOX_BOTTOM_RIGHT_HAND_CORNER, 0.98, 0.1),
        element(tags::BOUNDING_BOX_TEXT_HORIZONTAL_JUSTIFICATION, VR::CS, "LEFT"),
    ]);
    let mut annotation = InMemDicomObject::from_element_iter([
        sequence(tags::REFERENCED_IMAGE_SEQUENCE, vec![sop_reference(&image.source.reference)]),
        element(tags::GRAPHIC_LAYER, VR::CS, LAYER),
        sequence(tags::TEXT_OBJECT_SEQUENCE, vec![text]),
    ]);
    if let Some(focus) = focus {
        annotation.put(sequence(tags::GRAPHIC_OBJECT_SEQUENCE, vec![outline(focus)]));
    }
    let layer = InMemDicomObject::from_element_iter([
        element(tags::GRAPHIC_LAYER, VR::CS, LAYER),
        element(tags::GRAPHIC_LAYER_ORDER, VR::IS, "1"),
        element(tags::GRAPHIC_LAYER_DESCRIPTION, VR::LO, "AI result"),
    ]);
    [sequence(tags::GRAPHIC_ANNOTATION_SEQUENCE, vec![annotation]), sequence(tags::GRAPHIC_LAYER_SEQUENCE, vec![layer])]
}

fn outline(focus: &Region) -> InMemDicomObject {
    let points = focus.polyline();
    let positions: Vec<f32> = points.iter().flat_map(|point| [point.column, point.row]).collect();
    InMemDicomObject::from_element_iter([
        element(tags::GRAPHIC_ANNOTATION_UNITS, VR::CS, "PIXEL"),
        short(tags::GRAPHIC_DIMENSIONS, 2),
        short(tags::NUMBER_OF_GRAPHIC_POINTS, u16::try_from(points.len()).unwrap_or(u16::MAX)),
        DataElement::new(tags::GRAPHIC_DATA, VR::FL, PrimitiveValue::F32(positions.into())),
        element(tags::GRAPHIC_TYPE, VR::CS, "POLYLINE"),
        element(tags::GRAPHIC_FILLED, VR::CS, "N"),
    ])
}
