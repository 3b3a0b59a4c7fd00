//! The few elements of SVG 1.1 that charts need.

use std::fmt::Write;

/// A colour of the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Dark blue: the first series.
    Blue,
    /// Orange: the second series.
    Orange,
    /// Green: the third series.
    Green,
    /// Grey, for what is there to compare with.
    Grey,
}

impl Colour {
    /// As CSS writes it.
    pub fn css(self) -> &'static str {
        match self {
            Self::Blue => "#0072b2",
            Self::Orange => "#d55e00",
            Self::Green => "#009e73",
            Self::Grey => "#767676",
        }
    }
}

/// Which end of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing under way; places are pixels from the upper left.
pub(super) struct Drawing {
    body: String,
    width: f64,
    height: f64,
}

impl Drawing {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    pub(super) fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), style: &str) {
        self.element(&format!(r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" {style}/>"#));
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
        self.element(&format!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" {style}/>"#));
    }

    pub(super) fn circle(&mut self, (x, y): (f64, f64), radius: f64, style: &str) {
        self.element(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" {style}/>"#));
    }

    pub(super) fn polyline(&mut self, points: impl Iterator<Item = (f64, f64)>, style: &str) {
        self.element(&format!(r#"<polyline points="{}" fill="none" {style}/>"#, listed(points)));
    }

    pub(super) fn polygon(&mut self, points: impl Iterator<Item = (f64, f64)>, style: &str) {
        self.element(&format!(r#"<polygon points="{}" {style}/>"#, listed(points)));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, style: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.element(&format!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" {style}>{text}</text>"#));
    }

    /// A picture at a place, as large as told; `address` is where it is, or all of it as a `data:` URL.
    pub(super) fn picture(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), address: &str) {
        self.element(&format!(
            r#"<image x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" href="{address}"/>"#
        ));
    }

    /// Text that reads upwards, its middle at the place.
    pub(super) fn upright(&mut self, (x, y): (f64, f64), text: &str) {
        let style = format!(r#"transform="rotate(-90 {x:.1} {y:.1})""#);
        self.text((x, y), Anchor::Middle, &style, text);
    }

    fn element(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// The document; `description` is for those who cannot see it.
    pub(super) fn finish(self, description: &str) -> String {
        let Self { body, width, height } = self;
        let description = escaped(description);
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#222222" role="img">
<title>{description}</title>
<rect width="{width}" height="{height}" fill="#ffffff"/>
{body}</svg>
"##
        )
    }
}

fn listed(points: impl Iterator<Item = (f64, f64)>) -> String {
    points.fold(String::new(), |mut list, (x, y)| {
        // A String takes everything.
        let _ = write!(list, "{x:.1},{y:.1} ");
        list
    })
}

/// Text for XML and HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
