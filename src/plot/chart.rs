//! A chart with two axes: lines, bands, points and bars.

use super::scale::Axis;
use super::svg::{Anchor, Colour, Drawing};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 54.0;
/// Height of a line of the legend.
const LINE: f64 = 18.0;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// Without a gap.
    Solid,
    /// With gaps: the second series, which must differ in grey, too.
    Dashed,
    /// Thin, with short gaps: what is there to compare with.
    Fine,
}

/// What a series looks like; places are values of the axes.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A line through points.
    Line(Stroke, Vec<(f64, f64)>),
    /// A pale band between a low and a high value.
    Band(Vec<(f64, f64, f64)>),
    /// Points with the interval around them: place, value, low, high.
    Points(Vec<(f64, f64, f64, f64)>),
    /// Bars from zero: from, to, height.
    Bars(Vec<(f64, f64, f64)>),
}

/// One series of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend; without one it is not in it.
    pub name: Option<String>,
    /// Its colour.
    pub colour: Colour,
    /// What it looks like.
    pub mark: Mark,
}

/// Where the legend stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corner {
    /// Above a falling curve.
    UpperRight,
    /// Above a rising curve.
    UpperLeft,
    /// Below a rising curve.
    LowerRight,
    /// Below a falling curve.
    LowerLeft,
    /// Between two heaps.
    Top,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The series, the hindmost first.
    pub series: Vec<Series>,
    /// Where the legend stands.
    pub legend: Corner,
}

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let mut drawing = Drawing::new(WIDTH, HEIGHT);
        drawing.text((WIDTH / 2.0, 24.0), Anchor::Middle, r#"font-size="15" font-weight="bold""#, &self.title);
        self.frame(&mut drawing);
        for series in &self.series {
            self.draw(&mut drawing, series);
        }
        self.legend(&mut drawing);
        drawing.finish(&self.title)
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (across, up) = (self.x.share(x), self.y.share(y));
        (LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))
    }

    fn frame(&self, drawing: &mut Drawing) {
        const GRID: &str = r##"stroke="#dddddd" stroke-width="1""##;
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for (value, text) in self.x.ticks() {
            let x = LEFT + self.x.share(value) * (right - LEFT);
            drawing.line((x, TOP), (x, bottom), GRID);
            drawing.text((x, bottom + 18.0), Anchor::Middle, "", &text);
        }
        for (value, text) in self.y.ticks() {
            let y = bottom - self.y.share(value) * (bottom - TOP);
            drawing.line((LEFT, y), (right, y), GRID);
            drawing.text((LEFT - 8.0, y + 4.5), Anchor::End, "", &text);
        }
        let size = (right - LEFT, bottom - TOP);
        drawing.rectangle((LEFT, TOP), size, r##"fill="none" stroke="#444444" stroke-width="1""##);
        drawing.text(((LEFT + right) / 2.0, HEIGHT - 12.0), Anchor::Middle, "", self.x.label());
        drawing.upright((18.0, (TOP + bottom) / 2.0), self.y.label());
    }

    fn draw(&self, drawing: &mut Drawing, Series { colour, mark, .. }: &Series) {
        let css = colour.css();
        match mark {
            Mark::Line(stroke, points) => {
                drawing.polyline(points.iter().map(|point| self.place(*point)), &line_style(*stroke, *colour));
                // One point alone makes no line.
                if let [point] = points.as_slice() {
                    drawing.circle(self.place(*point), 3.5, &format!(r#"fill="{css}""#));
                }
            }
            Mark::Band(points) => {
                let low = points.iter().map(|(x, low, _)| (*x, *low));
                let high = points.iter().rev().map(|(x, _, high)| (*x, *high));
                let style = format!(r#"fill="{css}" fill-opacity="0.16""#);
                drawing.polygon(low.chain(high).map(|point| self.place(point)), &style);
            }
            Mark::Points(points) => {
                let style = format!(r#"stroke="{css}" stroke-width="1.5""#);
                for (x, y, low, high) in points {
                    drawing.line(self.place((*x, *low)), self.place((*x, *high)), &style);
                    drawing.circle(self.place((*x, *y)), 4.0, &format!(r#"fill="{css}""#));
                }
            }
            Mark::Bars(bars) => {
                let style = format!(r#"fill="{css}" fill-opacity="0.55" stroke="{css}""#);
                for (from, to, height) in bars {
                    let ((left, bottom), (right, top)) = (self.place((*from, 0.0)), self.place((*to, *height)));
                    drawing.rectangle((left, top), (right - left, bottom - top), &style);
                }
            }
        }
    }

    fn legend(&self, drawing: &mut Drawing) {
        let named: Vec<(&str, &Series)> =
            self.series.iter().filter_map(|series| Some((series.name.as_deref()?, series))).collect();
        let longest = named.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        if longest == 0 {
            return;
        }
        let (width, height) = (46.0 + 6.9 * longest as f64, 8.0 + LINE * named.len() as f64);
        let x = match self.legend {
            Corner::UpperRight | Corner::LowerRight => WIDTH - RIGHT - width - 8.0,
            Corner::UpperLeft | Corner::LowerLeft => LEFT + 8.0,
            Corner::Top => (LEFT + WIDTH - RIGHT - width) / 2.0,
        };
        let y = match self.legend {
            Corner::UpperRight | Corner::UpperLeft | Corner::Top => TOP + 8.0,
            Corner::LowerRight | Corner::LowerLeft => HEIGHT - BOTTOM - height - 8.0,
        };
        let style = r##"fill="#ffffff" fill-opacity="0.85" stroke="#cccccc""##;
        drawing.rectangle((x, y), (width, height), style);
        for (number, (name, Series { colour, mark, .. })) in named.into_iter().enumerate() {
            let middle = y + 4.0 + LINE * (number as f64 + 0.5);
            let (left, right) = ((x + 8.0, middle), (x + 32.0, middle));
            let css = colour.css();
            match mark {
                Mark::Line(stroke, _) => drawing.line(left, right, &line_style(*stroke, *colour)),
                Mark::Points(_) => drawing.circle((x + 20.0, middle), 4.0, &format!(r#"fill="{css}""#)),
                Mark::Band(_) | Mark::Bars(_) => {
                    let style = format!(r#"fill="{css}" fill-opacity="0.4""#);
                    drawing.rectangle((x + 8.0, middle - 5.0), (24.0, 10.0), &style);
                }
            }
            drawing.text((x + 38.0, middle + 4.5), Anchor::Start, "", name);
        }
    }
}

fn line_style(stroke: Stroke, colour: Colour) -> String {
    let (width, dashes) = match stroke {
        Stroke::Solid => (2.2, ""),
        Stroke::Dashed => (2.2, r#" stroke-dasharray="7 4""#),
        Stroke::Fine => (1.2, r#" stroke-dasharray="3 3""#),
    };
    format!(r#"stroke="{}" stroke-width="{width}" stroke-linejoin="round"{dashes}"#, colour.css())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_its_words_and_every_value_in_its_place() {
        let chart = Chart {
            title: "Loss <train & validation>".into(),
            x: Axis::counted("Epoch", 3),
            y: Axis::from_zero("Loss", [0.8].into_iter()),
            series: vec![Series {
                name: Some("Training".into()),
                colour: Colour::Blue,
                mark: Mark::Line(Stroke::Solid, vec![(1.0, 0.8), (2.0, 0.4), (3.0, f64::NAN)]),
            }],
            legend: Corner::UpperRight,
        };
        let svg = chart.svg();
        for expected in
            ["Loss &lt;train &amp; validation&gt;", ">Epoch<", ">Loss<", ">Training<", "66.0,40.0 264.0,183.0"]
        {
            assert!(svg.contains(expected), "{expected}: {svg}");
        }
    }
}
