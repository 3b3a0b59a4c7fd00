//! The model card that goes with the weights.

use std::fmt::Write;

use super::account::{Account, kept, sharing_text};
use super::folds::Folds;
use super::history::Epoch;
use crate::dataset::Part;
use crate::model::Manifest;
use crate::performance::Figures;

/// The card in Markdown.
pub(super) fn card(account: &Account<'_>, manifest: &Manifest, history: &[Epoch], sets: &[(Part, Figures)]) -> String {
    let mut card = format!("{} Trained by Auscult {}.\n", manifest.card_opening(), env!("CARGO_PKG_VERSION"));
    let mut add = |text: String| {
        // A String takes everything.
        let _ = writeln!(card, "{text}");
    };
    add(format!(
        "\n## Data\n\n{} images, BLAKE3 of images and classes `{}`; `split.csv` tells which image was in which part.\n",
        account.dataset.examples().len(),
        account.dataset.digest()
    ));
    table(&mut add, &["class", "train", "validation", "test"], &account.counts());
    if let Some(sharing) = &account.sharing {
        add(format!("\n{}", sharing_text(sharing)));
    }
    add("\n## Figures\n\nIn brackets: 95 % intervals.\n".to_owned());
    let head: Vec<&str> = std::iter::once("").chain(sets.iter().map(|(part, _)| part.name())).collect();
    let columns: Vec<_> = sets.iter().map(|(_, figures)| figures.entries()).collect();
    let labels = columns.first().into_iter().flatten().enumerate();
    let rows: Vec<Vec<String>> = labels
        .map(|(row, entry)| {
            let values = columns.iter().filter_map(|column| column.get(row)).map(|entry| entry.text());
            std::iter::once(entry.label.to_owned()).chain(values).collect()
        })
        .collect();
    table(&mut add, &head, &rows);
    if let Some((_, said)) = kept(account.options, history) {
        add(format!("\n{said}"));
    }
    if let Some(folds) = account.folds {
        add(format!("\n## Cross-validation\n\n{}\n", folds.text()));
        table(&mut add, &Folds::HEAD, &folds.rows());
    }
    if let Some(gate) = &account.gate {
        add(format!("\n## Plausibility\n\n{}", gate.text()));
    }
    add("\n## Training\n".to_owned());
    let mut options = vec![vec!["trunk from".to_owned(), account.trunk.to_owned()]];
    options.extend(account.options.listed().into_iter().map(|(name, value)| vec![name.to_owned(), value]));
    table(&mut add, &["option", "value"], &options);
    add("\n## Limits\n\nThe figures hold for images like those it was tested on: same hospital, same devices, same ages. \
         On others it has to be evaluated first (`auscult evaluate`). It knows its labels and nothing else."
        .to_owned());
    card
}

fn table(add: &mut impl FnMut(String), head: &[&str], rows: &[Vec<String>]) {
    let plain = |cell: &str| cell.replace('|', "\\|").replace(['\n', '\r'], " ");
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    add(line(head.iter().map(|cell| plain(cell)).collect()));
    add(line(head.iter().map(|_| "---".to_owned()).collect()));
    for row in rows {
        add(line(row.iter().map(|cell| plain(cell)).collect()));
    }
}
