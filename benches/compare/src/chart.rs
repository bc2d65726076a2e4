//! One SVG chart for each group: bars on a logarithmic scale.

use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoFont, IntoLogRange, RGBColor, Rectangle, SVGBackend, Text, WHITE,
};

use crate::engine::Fault;
use crate::plan::Group;
use crate::table::{Results, figure};

const BAR: u32 = 22;
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0x8b);
const OTHERS: RGBColor = RGBColor(0xb4, 0xbc, 0xc4);

/// The chart of a group as SVG text.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) fn svg(results: &Results, group: Group) -> Result<String, Fault> {
    let mut bars = Vec::new();
    for column in results.columns(group) {
        for row in results.rows(group) {
            if let Some(rate) = results.rate(group, row, column) {
                bars.push((format!("{row}, {column}"), rate, row.starts_with("Softadastra")));
            }
        }
    }
    let least = bars.iter().map(|bar| bar.1).fold(f64::INFINITY, f64::min).max(1e-3) / 2.0;
    let most = bars.iter().map(|bar| bar.1).fold(0.0, f64::max).max(least * 10.0) * 4.0;
    let count = i32::try_from(bars.len())?;
    let mut text = String::new();
    {
        let height = 60 + BAR * u32::try_from(bars.len())?;
        let area = SVGBackend::with_string(&mut text, (900, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(group.title(), ("sans-serif", 15))
            .margin(8)
            .margin_left(290)
            .x_label_area_size(22)
            .build_cartesian_2d((least..most).log_scale(), 0..count)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_label_formatter(&|value| figure(*value))
            .light_line_style(WHITE)
            .draw()?;
        for (index, (label, rate, ours)) in bars.iter().enumerate() {
            let at = count - 1 - i32::try_from(index)?;
            let colour = if *ours { OURS } else { OTHERS };
            let mut bar = Rectangle::new([(least, at), (*rate, at + 1)], colour.filled());
            bar.set_margin(2, 2, 0, 0);
            chart.draw_series(std::iter::once(bar))?;
            let style = ("sans-serif", 12);
            chart.draw_series(std::iter::once(Text::new(format!("  {}", figure(*rate)), (*rate, at + 1), style)))?;
            let y = 40 + i32::try_from(index)? * i32::try_from(BAR)?;
            area.draw(&Text::new(label.clone(), (8, y), ("sans-serif", 12).into_font().color(&BLACK)))?;
        }
        area.present()?;
    }
    Ok(text)
}
