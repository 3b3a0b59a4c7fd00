//! A page that needs nothing but itself: text, tables and drawings in one HTML file, to read on a screen and in print.

use std::fmt::Write;

use super::{Drawing, Figures};
use crate::plot::escaped;

const STYLE: &str = "
body { font: 15px/1.5 Helvetica, Arial, sans-serif; color: #222; max-width: 1040px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 26px; margin-bottom: 0.2em; }
h2 { font-size: 20px; border-bottom: 1px solid #ccc; margin-top: 1.6em; }
table { border-collapse: collapse; margin: 0.8em 0; }
th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid #e4e4e4; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.drawings { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start; }
.drawings svg { max-width: 100%; height: auto; }
.notice { border-left: 4px solid #d55e00; padding: 0.4em 0.8em; background: #fdf3ec; }
.drawings svg, tr, .notice { break-inside: avoid; }
h2 { break-after: avoid; }
@media print { body { margin: 0; max-width: none; font-size: 12px; } .drawings svg { max-width: 48%; }
  .sheet svg { max-width: 100%; } }
";

/// A page under way.
pub struct Page {
    title: String,
    refresh: Option<u32>,
    body: String,
}

impl Page {
    /// An empty page.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), refresh: None, body: format!("<h1>{}</h1>\n", escaped(title)) }
    }

    /// A page of work that goes on: a browser that shows it reads it again after so many seconds.
    pub fn refreshed_after(self, seconds: u32) -> Self {
        Self { refresh: Some(seconds), ..self }
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) {
        self.add(&format!("<h2>{}</h2>", escaped(text)));
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.add(&format!("<p>{}</p>", escaped(text)));
    }

    /// A paragraph that must not be overlooked.
    pub fn notice(&mut self, text: &str) {
        self.add(&format!(r#"<p class="notice">{}</p>"#, escaped(text)));
    }

    /// A table with a head.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let cells = |cells: &mut dyn Iterator<Item = &str>, tag: &str| {
            let cell = |cell| format!("<{tag}>{}</{tag}>", escaped(cell));
            format!("<tr>{}</tr>", cells.map(cell).collect::<String>())
        };
        self.add(&format!("<table>{}", cells(&mut head.iter().copied(), "th")));
        for row in rows {
            self.add(&cells(&mut row.iter().map(String::as_str), "td"));
        }
        self.add("</table>");
    }

    /// The figures of several sets of images beside each other.
    pub fn figures(&mut self, sets: &[(String, Figures)]) {
        let head: Vec<&str> = std::iter::once("").chain(sets.iter().map(|(name, _)| name.as_str())).collect();
        let columns: Vec<_> = sets.iter().map(|(_, figures)| figures.entries()).collect();
        let row = |(index, entry): (usize, &super::Entry)| {
            let values = columns.iter().filter_map(|column| column.get(index)).map(super::Entry::text);
            std::iter::once(entry.label.to_owned()).chain(values).collect()
        };
        let rows: Vec<_> = columns.first().map(|first| first.iter().enumerate().map(row).collect()).unwrap_or_default();
        self.table(&head, &rows);
        self.paragraph(
            "In brackets: 95 % intervals; of the area under the ROC curve by DeLong, of proportions and average precision by \
             Wilson.",
        );
    }

    /// Drawings beside each other.
    pub fn drawings(&mut self, drawings: &[Drawing]) {
        self.add(r#"<div class="drawings">"#);
        drawings.iter().for_each(|drawing| self.add(&drawing.svg));
        self.add("</div>");
    }

    /// A drawing that takes the whole width.
    pub fn sheet(&mut self, drawing: &Drawing) {
        self.add(&format!(r#"<div class="drawings sheet">{}</div>"#, drawing.svg));
    }

    fn add(&mut self, html: &str) {
        // A String takes everything.
        let _ = writeln!(self.body, "{html}");
    }

    /// The HTML document.
    pub fn finish(self) -> String {
        let refresh = self.refresh.map(|seconds| format!(r#"<meta http-equiv="refresh" content="{seconds}">"#));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n{}<title>{}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
            refresh.unwrap_or_default(),
            escaped(&self.title),
            self.body
        )
    }
}
