//! `auscult import`: JPEG and PNG pictures become DICOM radiographs, to try the service without a modality.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::import::{self, Encoding, Laterality, Patient, Picture, Radiography, Study};

/// Make DICOM radiographs of JPEG or PNG pictures.
///
/// Pictures imported by one command with --patient-id form one study of that patient; without it each picture
/// is a patient of its own, named after its file. The objects say that no annotation is burned in: do not import
/// pictures that show a patient's name.
#[derive(clap::Args)]
pub(super) struct Import {
    /// JPEG or PNG pictures
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// Directory for the DICOM files, one per picture; made if it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Digital X-ray or computed radiography
    #[arg(long, value_enum, ignore_case = true, default_value = "DX")]
    modality: Modality,
    /// View: postero-anterior, antero-posterior, left or right lateral
    #[arg(long, value_enum, ignore_case = true, default_value = "PA")]
    view: View,
    /// Body Part Examined
    #[arg(long, value_name = "PART", default_value = "CHEST")]
    body_part: String,
    /// Patient ID [default: the file's name without its extension]
    #[arg(long, value_name = "ID")]
    patient_id: Option<String>,
    /// Accession Number
    #[arg(long, value_name = "NUMBER", default_value = "")]
    accession: String,
    /// Study Description
    #[arg(long, value_name = "TEXT", default_value = "Chest radiograph")]
    study_description: String,
    /// Write decoded samples even where a JPEG could be taken over unchanged
    #[arg(long)]
    uncompressed: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Modality {
    #[value(name = "DX")]
    Dx,
    #[value(name = "CR")]
    Cr,
}

#[derive(Clone, Copy, ValueEnum)]
enum View {
    #[value(name = "PA")]
    Pa,
    #[value(name = "AP")]
    Ap,
    #[value(name = "LL")]
    Ll,
    #[value(name = "RL")]
    Rl,
}

impl Import {
    /// Writes one DICOM file per picture and prints its path.
    pub(super) fn run(self) -> Result<()> {
        let out = &self.out;
        fs::create_dir_all(out)
            .with_context(|| format!("cannot make {}; name a directory you may write to with --out", out.display()))?;
        let encoding = if self.uncompressed { Encoding::Uncompressed } else { Encoding::AsIs };
        let started = chrono::Local::now().naive_local();
        for (number, path) in (1..).zip(&self.pictures) {
            let picture = Picture::open(path, encoding)?;
            let object = import::object(&picture, &self.radiography(path, number, started))?;
            let mut octets = Vec::new();
            object.write_all(&mut octets)?;
            let file = out.join(path.file_stem().unwrap_or_default()).with_added_extension("dcm");
            write_new(&file, &octets)?;
            writeln!(io::stdout(), "{}", file.display())?;
        }
        Ok(())
    }

    fn radiography(&self, path: &Path, instance_number: u16, started: chrono::NaiveDateTime) -> Radiography {
        let file_name = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let patient = Patient { id: self.patient_id.clone().unwrap_or_else(file_name), ..Patient::default() };
        let study = Study {
            accession: self.accession.clone(),
            description: self.study_description.clone(),
            started,
            ..Study::default()
        };
        Radiography {
            modality: match self.modality {
                Modality::Dx => import::Modality::Dx,
                Modality::Cr => import::Modality::Cr,
            },
            view: match self.view {
                View::Pa => import::View::Pa,
                View::Ap => import::View::Ap,
                View::Ll => import::View::Ll,
                View::Rl => import::View::Rl,
            },
            body_part: self.body_part.clone(),
            laterality: Laterality::Unpaired,
            patient,
            study,
            series_number: 1,
            series_description: String::new(),
            instance_number,
        }
    }
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, octets: &[u8]) -> Result<()> {
    File::create_new(path)
        .and_then(|mut file| file.write_all(octets))
        .with_context(|| format!("cannot write {}; choose an empty directory with --out", path.display()))
}
