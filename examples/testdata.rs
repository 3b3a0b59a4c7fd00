//! Makes the studies under `testdata/`:
//! `cargo run --example testdata -- DIRECTORY_OF_RADIOGRAPHS testdata`. Running it twice gives identical bytes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use auscult::import::{self, Encoding, Laterality, Modality, Patient, Picture, Radiography, Sex, Study, View};
use chrono::{NaiveDate, NaiveDateTime};
use dicom::core::{DataElement, VR};
use dicom::dictionary_std::tags;
use dicom::object::{FileDicomObject, InMemDicomObject};

#[path = "testdata/ct.rs"]
mod ct;
#[path = "testdata/hand.rs"]
mod hand;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(radiographs), Some(out)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: testdata DIRECTORY_OF_RADIOGRAPHS OUTPUT_DIRECTORY");
    };
    for image in images()? {
        let object = image.object(&radiographs).with_context(|| format!("making {}", image.file))?;
        write(&out.join(image.file), &object)?;
    }
    write(&out.join("ct-slice/ct-axial.dcm"), &ct::object()?)
}

fn write(path: &Path, object: &FileDicomObject<InMemDicomObject>) -> Result<()> {
    fs::create_dir_all(path.parent().context("no directory")?)?;
    object.write_all(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)?;
    Ok(())
}

/// Where an image's pixels come from.
enum Source {
    /// A JPEG file among the radiographs.
    Radiograph(&'static str, Encoding),
    /// Drawn by this program.
    Hand,
}

/// Character set of the texts of an object.
#[derive(Clone, Copy)]
enum CharacterSet {
    Latin1,
    Utf8,
}

/// One file to make.
struct Image {
    file: &'static str,
    source: Source,
    radiography: Radiography,
    character_set: CharacterSet,
}

impl Image {
    fn new(file: &'static str, source: Source, modality: Modality, view: View, subject: &Subject) -> Self {
        let radiography = Radiography {
            modality,
            view,
            body_part: subject.body_part.into(),
            laterality: if subject.body_part == "HAND" { Laterality::Left } else { Laterality::Unpaired },
            patient: subject.patient.clone(),
            study: subject.study.clone(),
            series_number: 1,
            series_description: subject.study.description.clone(),
            instance_number: 1,
        };
        Self { file, source, radiography, character_set: CharacterSet::Utf8 }
    }

    /// The second series of a study.
    fn second(mut self, series_description: &str) -> Self {
        self.radiography.series_number = 2;
        self.radiography.series_description = series_description.into();
        self
    }

    fn object(&self, radiographs: &Path) -> Result<FileDicomObject<InMemDicomObject>> {
        let picture = match self.source {
            Source::Radiograph(name, encoding) => Picture::open(&radiographs.join(name), encoding)?,
            Source::Hand => hand::picture()?,
        };
        let mut object = import::object(&picture, &self.radiography)?;
        if let CharacterSet::Latin1 = self.character_set {
            object.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"));
        }
        Ok(object)
    }
}

/// A fictitious patient and the examination.
struct Subject {
    patient: Patient,
    study: Study,
    body_part: &'static str,
}

/// Subject number `number`, examined on a day of her or his own.
fn subject(number: u8, name: &str, sex: Sex, age: u8, description: &str) -> Result<Subject> {
    let patient = Patient { id: format!("DEMO-{number:03}"), name: name.into(), sex: Some(sex), age: Some(age) };
    let study = Study {
        accession: format!("DEMO{number:04}"),
        id: format!("S{number:03}"),
        description: description.into(),
        started: day(number)?,
    };
    Ok(Subject { patient, study, body_part: "CHEST" })
}

/// 10:15 on a day from November 2024 on, two weeks apart.
fn day(number: u8) -> Result<NaiveDateTime> {
    let first = NaiveDate::from_ymd_opt(2024, 11, 4).and_then(|date| date.and_hms_opt(10, 15, 0));
    Ok(first.context("no such day")? + chrono::Days::new(14 * u64::from(number)))
}

fn images() -> Result<Vec<Image>> {
    use Encoding::{AsIs, Uncompressed};
    use Modality::{Cr, Dx};
    use Source::Radiograph;

    let normal_dx = subject(1, "Demo^Anna", Sex::Female, 4, "Chest PA")?;
    let normal_cr = subject(2, "Demo^J\u{f6}rg", Sex::Male, 2, "Chest AP")?;
    let pneumonia_dx = subject(3, "Demo^Carla", Sex::Female, 3, "Chest PA")?;
    let pneumonia_cr = subject(4, "Dem\u{f6}^David", Sex::Male, 5, "Thorax pa")?;
    let two_views = subject(5, "Demo^Emma", Sex::Female, 3, "Chest PA and lateral")?;
    let lateral = subject(6, "Demo^Felix", Sex::Male, 4, "Chest lateral")?;
    let hand = Subject { body_part: "HAND", ..subject(7, "Demo^Greta", Sex::Female, 5, "Hand PA, phantom")? };

    let normal_dx_pixels = Radiograph("NORMAL2-IM-1430-0001.jpeg", Uncompressed);
    let normal_cr_pixels = Radiograph("NORMAL2-IM-1442-0001.jpeg", AsIs);
    let pneumonia_dx_pixels = Radiograph("person1946_bacteria_4874.jpeg", AsIs);
    let pneumonia_cr_pixels = Radiograph("person1950_bacteria_4881.jpeg", Uncompressed);
    let frontal_pixels = Radiograph("person1954_bacteria_4886.jpeg", Uncompressed);
    let second_view_pixels = Radiograph("NORMAL2-IM-1437-0001.jpeg", Uncompressed);
    let lateral_pixels = Radiograph("NORMAL2-IM-1438-0001.jpeg", Uncompressed);
    Ok(vec![
        Image::new("normal-dx/dx-pa.dcm", normal_dx_pixels, Dx, View::Pa, &normal_dx),
        Image::new("normal-cr-jpeg/cr-ap-jpeg.dcm", normal_cr_pixels, Cr, View::Ap, &normal_cr),
        Image::new("pneumonia-dx-jpeg/dx-pa-jpeg.dcm", pneumonia_dx_pixels, Dx, View::Pa, &pneumonia_dx),
        Image {
            character_set: CharacterSet::Latin1,
            ..Image::new("pneumonia-cr/cr-pa.dcm", pneumonia_cr_pixels, Cr, View::Pa, &pneumonia_cr)
        },
        Image::new("pneumonia-pa-and-lateral/dx-pa.dcm", frontal_pixels, Dx, View::Pa, &two_views),
        Image::new("pneumonia-pa-and-lateral/dx-ll.dcm", second_view_pixels, Dx, View::Ll, &two_views)
            .second("Chest lateral"),
        Image::new("lateral-only/dx-ll.dcm", lateral_pixels, Dx, View::Ll, &lateral),
        Image::new("hand/dx-hand-phantom.dcm", Source::Hand, Dx, View::Pa, &hand),
    ])
}
