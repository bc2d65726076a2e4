//! The tables of `docs/operations.md`, against what the software knows of itself.

use std::collections::BTreeMap;

use super::ALL;

/// The rows of the table below a heading: the first cell without its ticks, and the others.
pub(crate) fn table(heading: &str) -> BTreeMap<String, Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells =
        |row: &str| -> Vec<String> { row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect() };
    rows.map(|row| {
        let mut cells = cells(row);
        (cells.remove(0).trim_matches('`').to_owned(), cells)
    })
    .collect()
}

#[test]
fn every_event_is_in_the_table_with_its_fields() {
    let mut rows = table("## Log events");
    for kind in ALL {
        let row = rows.remove(kind.name).unwrap_or_else(|| panic!("`{}` is not in the table", kind.name));
        let fields: Vec<_> = kind.fields.iter().map(|field| format!("`{field}`")).collect();
        assert_eq!(row[1], kind.local_state.as_str(), "{}: local data", kind.name);
        assert_eq!(row[2], kind.retry.as_str(), "{}: tried again", kind.name);
        assert_eq!(row[3], fields.join(" "), "{}: fields", kind.name);
    }
    assert!(rows.is_empty(), "events that there are none of: {rows:?}");
}
