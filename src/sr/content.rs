//! Second storey: content items (PS3.3 C.17.3), one constructor for each value type that the report uses.

use dicom::core::value::DataSetSequence;
use dicom::core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

use super::attribute::element;
use super::codes::{Code, Concept};
use super::scribe::Scribe;
use crate::finding::SopReference;
use crate::heat::Point;

/// How an item relates to the one that it stands in (PS3.3 C.17.3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relationship {
    Contains,
    HasConceptMod,
    HasObsContext,
    HasAcqContext,
    SelectedFrom,
}

impl Relationship {
    fn defined_term(self) -> &'static str {
        match self {
            Self::Contains => "CONTAINS",
            Self::HasConceptMod => "HAS CONCEPT MOD",
            Self::HasObsContext => "HAS OBS CONTEXT",
            Self::HasAcqContext => "HAS ACQ CONTEXT",
            Self::SelectedFrom => "SELECTED FROM",
        }
    }
}

/// One content item with its children.
#[derive(Debug, Clone)]
pub(super) struct Content(InMemDicomObject);

impl Content {
    fn item(value_type: &str, concept: &Code) -> Self {
        Self(InMemDicomObject::from_element_iter([
            element(tags::VALUE_TYPE, VR::CS, value_type),
            code_sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, concept),
        ]))
    }

    fn with(mut self, elements: impl IntoIterator<Item = InMemElement>) -> Self {
        elements.into_iter().for_each(|element| {
            self.0.put(element);
        });
        self
    }

    /// IMAGE without a concept name, as a Key Object Selection has it (PS3.16 TID 2010).
    pub fn key_image(image: &SopReference) -> Self {
        Self(InMemDicomObject::from_element_iter([
            element(tags::VALUE_TYPE, VR::CS, "IMAGE"),
            sequence(tags::REFERENCED_SOP_SEQUENCE, vec![sop_reference(image)]),
        ]))
    }

    /// The same item with children, in their order; none gives no Content Sequence.
    pub fn containing(self, children: Vec<Content>) -> Self {
        if children.is_empty() {
            return self;
        }
        self.with([sequence(tags::CONTENT_SEQUENCE, children.into_iter().map(|child| child.0).collect())])
    }

    /// The same item in a relationship to its parent.
    pub fn related(self, relationship: Relationship) -> Self {
        self.with([element(tags::RELATIONSHIP_TYPE, VR::CS, relationship.defined_term())])
    }

    /// The same container, said to follow a template of PS3.16 (C.18.8.1.2).
    pub fn following(self, template: &str) -> Self {
        const DICOM_CONTENT_MAPPING_RESOURCE: &str = "1.2.840.10008.8.1.1";
        let identification = InMemDicomObject::from_element_iter([
            element(tags::MAPPING_RESOURCE, VR::CS, "DCMR"),
            element(tags::MAPPING_RESOURCE_UID, VR::UI, DICOM_CONTENT_MAPPING_RESOURCE),
            element(tags::TEMPLATE_IDENTIFIER, VR::CS, template),
        ]);
        self.with([sequence(tags::CONTENT_TEMPLATE_SEQUENCE, vec![identification])])
    }

    /// The elements of the item: of the root, those of the SR Document Content module (C.17.3).
    pub fn into_elements(self) -> impl Iterator<Item = InMemElement> {
        self.0.into_iter()
    }
}

impl Scribe {
    fn item(&self, value_type: &str, concept: Concept) -> Content {
        Content::item(value_type, &self.code(concept))
    }

    /// CONTAINER (C.18.8), always SEPARATE: viewers drop the names of the items of a CONTINUOUS one.
    pub fn container(&self, concept: Concept, children: Vec<Content>) -> Content {
        self.item("CONTAINER", concept)
            .with([element(tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE")])
            .containing(children)
    }

    /// TEXT (C.18.2).
    pub fn text(&self, concept: Concept, text: &str) -> Content {
        self.item("TEXT", concept).with([element(tags::TEXT_VALUE, VR::UT, self.octets(text))])
    }

    /// CODE (C.18.3) of a foreign code.
    pub fn coded(&self, concept: Concept, value: &Code) -> Content {
        self.item("CODE", concept).with([code_sequence(tags::CONCEPT_CODE_SEQUENCE, value)])
    }

    /// CODE (C.18.3).
    pub fn code_item(&self, concept: Concept, value: Concept) -> Content {
        self.coded(concept, &self.code(value))
    }

    /// NUM (C.18.1); `number` is a decimal string.
    pub fn num(&self, concept: Concept, number: &str, unit: Concept) -> Content {
        let measured = InMemDicomObject::from_element_iter([
            code_sequence(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, &self.code(unit)),
            element(tags::NUMERIC_VALUE, VR::DS, number),
        ]);
        self.item("NUM", concept).with([sequence(tags::MEASURED_VALUE_SEQUENCE, vec![measured])])
    }

    /// IMAGE (C.18.4).
    pub fn image(&self, concept: Concept, image: &SopReference) -> Content {
        self.item("IMAGE", concept).with([sequence(tags::REFERENCED_SOP_SEQUENCE, vec![sop_reference(image)])])
    }

    /// SCOORD (C.18.6), a POLYLINE through points of an image (columns, rows), selected from it.
    pub fn polyline(&self, concept: Concept, points: &[Point], image: Content) -> Content {
        let coordinates = points.iter().flat_map(|point| [point.column, point.row]);
        self.item("SCOORD", concept)
            .with([
                element(tags::GRAPHIC_TYPE, VR::CS, "POLYLINE"),
                DataElement::new(tags::GRAPHIC_DATA, VR::FL, PrimitiveValue::F32(coordinates.collect())),
            ])
            .containing(vec![image.related(Relationship::SelectedFrom)])
    }

    /// UIDREF.
    pub fn uid_ref(&self, concept: Concept, uid: &str) -> Content {
        self.item("UIDREF", concept).with([element(tags::UID, VR::UI, uid)])
    }

    /// DATE; `date` is a legal DA.
    pub fn date(&self, concept: Concept, date: &str) -> Content {
        self.item("DATE", concept).with([element(tags::DATE, VR::DA, date)])
    }

    /// TIME; `time` is a legal TM.
    pub fn time(&self, concept: Concept, time: &str) -> Content {
        self.item("TIME", concept).with([element(tags::TIME, VR::TM, time)])
    }
}

/// A sequence attribute.
pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> InMemElement {
    DataElement::new(tag, VR::SQ, DataSetSequence::new(items, Length::UNDEFINED))
}

/// A sequence attribute with one coded entry.
pub(super) fn code_sequence(tag: Tag, code: &Code) -> InMemElement {
    sequence(tag, vec![code_item(code)])
}

/// A coded entry: the Basic Code Sequence Macro (PS3.3 table 8.8-1a).
pub(super) fn code_item(code: &Code) -> InMemDicomObject {
    let mut item = InMemDicomObject::from_element_iter([
        element(tags::CODE_VALUE, VR::SH, &code.value),
        element(tags::CODING_SCHEME_DESIGNATOR, VR::SH, &code.scheme),
        element(tags::CODE_MEANING, VR::LO, &code.meaning),
    ]);
    if let Some(version) = &code.version {
        item.put(element(tags::CODING_SCHEME_VERSION, VR::SH, version));
    }
    item
}

/// A reference: the SOP Instance Reference Macro (PS3.3 table 10-11).
pub(super) fn sop_reference(reference: &SopReference) -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        element(tags::REFERENCED_SOP_CLASS_UID, VR::UI, reference.sop_class.as_str()),
        element(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, reference.sop_instance.as_str()),
    ])
}
