//! One SVG chart for each group, on logarithmic scales: bars, or curves where something grows.

use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color, IntoDrawingArea, IntoFont, IntoLogRange, LineSeries, RGBColor, Rectangle,
    SVGBackend, Text, WHITE,
};

use crate::engine::Fault;
use crate::plan::Group;
use crate::table::{Results, Take, figure};

const BAR: u32 = 22;
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0x8b);
const OTHERS: RGBColor = RGBColor(0xb4, 0xbc, 0xc4);

/// The chart of a group as SVG text: a bar for each cell.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) fn bars(results: &Results, group: Group) -> Result<String, Fault> {
    let mut bars = Vec::new();
    for column in results.columns(group) {
        for row in results.rows(group) {
            if let Some(rate) = results.median((group, row, column), Take::Value) {
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

/// The colours of curves, one after the other.
const CURVES: [RGBColor; 5] = [
    OURS,
    RGBColor(0xc2, 0x4f, 0x3a),
    RGBColor(0x5a, 0x8f, 0x3c),
    RGBColor(0x8a, 0x5a, 0xa8),
    RGBColor(0xb0, 0x80, 0x20),
];

/// The chart of a group whose columns are what grows: a curve for each row, both scales logarithmic.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) fn curves(results: &Results, group: Group) -> Result<String, Fault> {
    let columns = results.columns(group);
    let grows = columns.iter().map(|column| column.replace(',', "").parse()).collect::<Result<Vec<f64>, _>>()?;
    let mut curves = Vec::new();
    for row in results.rows(group) {
        let value = |column: &&'static str| results.median((group, row, column), Take::Value);
        let points = grows.iter().zip(&columns).filter_map(|(x, column)| Some((*x, value(column)?)));
        curves.push((row, points.collect::<Vec<_>>()));
    }
    let all = || curves.iter().flat_map(|(_, points)| points.iter().map(|point| point.1));
    let (least, most) = (all().fold(f64::INFINITY, f64::min) / 2.0, all().fold(0.0, f64::max) * 4.0);
    let (first, last) = (grows.first().ok_or("no column")?, grows.last().ok_or("no column")?);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (900, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(group.title(), ("sans-serif", 15))
            .margin(8)
            .margin_right(90)
            .x_label_area_size(24)
            .y_label_area_size(70)
            .build_cartesian_2d((*first..*last * 1.01).log_scale(), (least.max(1.0)..most.max(10.0)).log_scale())?;
        chart
            .configure_mesh()
            .x_label_formatter(&|value| figure(value.round()))
            .y_label_formatter(&|value| figure(value.round()))
            .light_line_style(WHITE)
            .draw()?;
        for ((row, points), colour) in curves.iter().zip(CURVES.iter().cycle()) {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
            if let Some(end) = points.last() {
                let style = ("sans-serif", 13).into_font().color(colour);
                chart.draw_series(std::iter::once(Text::new(format!("  {row}"), *end, style)))?;
            }
        }
        area.present()?;
    }
    Ok(text)
}
