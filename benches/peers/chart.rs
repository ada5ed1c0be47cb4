//! The table as a drawing: one bar for each contender, its processor time a connection; the saturated cost inside it.

use std::fmt::Write;

use benches::machine;

use crate::report::Row;

const LINE: f64 = 30.0;
const LEFT: f64 = 330.0;
const WIDTH: f64 = 420.0;
const TOP: f64 = 56.0;

/// An SVG of 800 units' width.
pub(crate) fn draw(rows: &[Row], in_flight: usize) -> String {
    let most = rows.iter().map(Row::steady_cost).fold(1.0, f64::max);
    let height = TOP + LINE * rows.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"860\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"16\" font-weight=\"bold\">Processor time for each connection, µs</text>\n\
         <text x=\"16\" y=\"42\" fill=\"#555555\">{in_flight} connections in flight on one core; dark: when a full queue waits, less what stopping and going on costs</text>\n"
    );
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + LINE * index as f64;
        let (steady, saturated) = (row.steady_cost(), row.saturated_cost());
        let (pale, dark) =
            if row.contender.kind.is_ours() { ("#e8a33d", "#b8690c") } else { ("#b9c6d6", "#6f86a3") };
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT:.0}\" y=\"{:.0}\" width=\"{:.1}\" height=\"18\" fill=\"{pale}\"/>\
             <rect x=\"{LEFT:.0}\" y=\"{:.0}\" width=\"{:.1}\" height=\"18\" fill=\"{dark}\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{steady:.1} ({saturated:.1})</text>",
            LEFT - 10.0,
            y + 18.0,
            row.contender.kind.name(),
            y + 5.0,
            steady / most * WIDTH,
            y + 5.0,
            saturated.min(steady) / most * WIDTH,
            LEFT + steady / most * WIDTH + 8.0,
            y + 18.0,
        );
    }
    let _ = write!(
        svg,
        "<text x=\"16\" y=\"{:.0}\" fill=\"#555555\" font-size=\"11\">{}</text>\n</svg>\n",
        height - 10.0,
        machine()
    );
    svg
}
