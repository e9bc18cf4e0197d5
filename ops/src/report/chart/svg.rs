//! Writes SVG elements: numbers short, text escaped, looks by class only.

use crate::report::escape::escape;

/// Colours, dashes and markers repeat after so many series; the combination of them later.
pub(super) const LOOKS: usize = 6;

/// Where text stands relative to its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Elements, one after the other.
#[derive(Debug, Default)]
pub(super) struct Svg {
    body: String,
}

/// A place in the drawing with one decimal at most.
pub(super) fn px(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    // Without this, what rounds to zero from below would be `-0`.
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

impl Svg {
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (px(from.0), px(from.1), px(to.0), px(to.1));
        self.body.push_str(&format!(
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>\n"
        ));
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y, text) = (px(at.0), px(at.1), escape(text));
        self.body.push_str(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>\n"));
    }

    /// A rectangle; `title` is shown when it is pointed at.
    pub(super) fn rect(&mut self, style: &str, at: (f64, f64), size: (f64, f64), title: &str) {
        let (x, y, width, height) = (px(at.0), px(at.1), px(size.0.max(0.0)), px(size.1.max(0.0)));
        let rect = format!("<rect {style} x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
        self.titled(&rect, "rect", title);
    }

    pub(super) fn path(&mut self, class: &str, d: &str) {
        if !d.is_empty() {
            self.body.push_str(&format!("<path class=\"{class}\" d=\"{d}\"/>\n"));
        }
    }

    /// The shape of the series of number `look`, around `at`.
    pub(super) fn marker(&mut self, look: usize, at: (f64, f64), title: &str) {
        let (x, y) = (px(at.0), px(at.1));
        let d = match look % LOOKS {
            0 => format!("M{x} {y}m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z"),
            1 => format!("M{x} {y}m0-4l4 7h-8z"),
            2 => format!("M{x} {y}m-3-3h6v6h-6z"),
            3 => format!("M{x} {y}m0-4.5l4.5 4.5-4.5 4.5-4.5-4.5z"),
            4 => format!("M{x} {y}m-4-1.2h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z"),
            _ => format!("M{x} {y}m0 4l4-7h-8z"),
        };
        self.titled(&format!("<path class=\"m s{}\" d=\"{d}\"", look % LOOKS), "path", title);
    }

    /// Fills for the parts of stacked bars, which can be told apart without colour.
    pub(super) fn patterns(&mut self, prefix: &str, count: usize) {
        self.body.push_str("<defs>\n");
        for i in 0..count {
            let colour = i % LOOKS;
            let marks = match (i + i / LOOKS) % LOOKS {
                0 => "",
                1 => "<path class=\"h\" d=\"M-2 2l4-4M0 8l8-8M6 10l4-4\"/>",
                2 => {
                    "<circle class=\"d\" cx=\"2\" cy=\"2\" r=\"1.3\"/><circle class=\"d\" cx=\"6\" cy=\"6\" r=\"1.3\"/>"
                }
                3 => "<path class=\"h\" d=\"M-2 6l4 4M0 0l8 8M6-2l4 4\"/>",
                4 => "<path class=\"h\" d=\"M0 2h8M0 6h8\"/>",
                _ => "<path class=\"h\" d=\"M2 0v8M6 0v8\"/>",
            };
            self.body.push_str(&format!(
                "<pattern id=\"{prefix}{i}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\">\
                 <rect class=\"s{colour}\" width=\"8\" height=\"8\"/>{marks}</pattern>\n"
            ));
        }
        self.body.push_str("</defs>\n");
    }

    fn titled(&mut self, start: &str, name: &str, title: &str) {
        self.body.push_str(start);
        if title.is_empty() {
            self.body.push_str("/>\n");
        } else {
            self.body.push_str(&format!("><title>{}</title></{name}>\n", escape(title)));
        }
    }

    /// The whole drawing, named by its title and described by a sentence.
    pub(super) fn finish(self, size: (f64, f64), id: &str, title: &str, description: &str) -> String {
        let (width, height) = (px(size.0), px(size.1));
        let (title, description) = (escape(title), escape(description));
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
             <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n{}</svg>\n",
            self.body
        )
    }
}
