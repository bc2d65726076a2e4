//! The Markdown page that a run puts its tables into, and the charts beside it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::chart;
use crate::engine::Fault;
use crate::plan::{Group, Kind};
use crate::table::Results;

/// The marks between which the tables stand.
const MARKS: (&str, &str) = ("<!-- compare: begin -->", "<!-- compare: end -->");

/// A page that can take tables.
pub(crate) struct Page {
    path: PathBuf,
    charts: PathBuf,
}

impl Page {
    /// Looks whether it could be written, before anybody has spent half an hour on what is to stand there. Makes the
    /// directory of its charts.
    ///
    /// # Errors
    /// When it could not be written, or has no marks.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let page = Self { path: path.to_owned(), charts: path.with_extension("") };
        page.around()?;
        OpenOptions::new().write(true).open(path).map_err(|error| format!("--write {}: {error}", path.display()))?;
        let cannot = |error: std::io::Error| format!("no charts can be put into {}: {error}", page.charts.display());
        std::fs::create_dir_all(&page.charts).map_err(cannot)?;
        tempfile::tempfile_in(&page.charts).map_err(cannot)?;
        Ok(page)
    }

    /// What stands before the marks, and what after them.
    fn around(&self) -> Result<(String, String), Fault> {
        let path = self.path.display();
        let text = std::fs::read_to_string(&self.path).map_err(|error| format!("--write {path}: {error}"))?;
        let (before, rest) = text.split_once(MARKS.0).ok_or_else(|| format!("--write {path}: no {} in it", MARKS.0))?;
        let (_, after) =
            rest.split_once(MARKS.1).ok_or_else(|| format!("--write {path}: no {} after the first mark", MARKS.1))?;
        Ok((before.to_owned(), after.to_owned()))
    }

    /// Puts tables and charts there, in place of those before.
    ///
    /// # Errors
    /// Those of files, and when a chart cannot be drawn.
    pub(crate) fn write(&self, groups: &[Group], results: &Results, text: &str) -> Result<(), Fault> {
        let (before, after) = self.around()?;
        std::fs::create_dir_all(&self.charts)?;
        let mut pictures = String::new();
        for group in groups.iter().filter(|group| group.kind() != Kind::Figures) {
            // Nothing of it could be measured.
            if results.rows(*group).is_empty() {
                continue;
            }
            let name = group.name();
            let picture = match group.kind() {
                Kind::Curves => chart::curves(results, *group)?,
                _ => chart::bars(results, *group)?,
            };
            std::fs::write(self.charts.join(format!("{name}.svg")), picture)?;
            let folder = self.charts.file_name().unwrap_or_default().to_string_lossy().into_owned();
            pictures.push_str(&format!("![{}]({folder}/{name}.svg)\n\n", group.title()));
        }
        let (begin, end) = MARKS;
        std::fs::write(&self.path, format!("{before}{begin}\n\n{text}{pictures}{end}{after}"))?;
        println!("{} now has the tables of this run; the charts are in {}", self.path.display(), self.charts.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        Page::open(path).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_page_that_cannot_take_tables_is_refused_before_anything_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.md");
        assert!(refused(&path).contains("page.md: No such file"), "{}", refused(&path));
        for text in ["", MARKS.0, &format!("{} {}", MARKS.1, MARKS.0)] {
            std::fs::write(&path, text).unwrap();
            assert!(refused(&path).contains("compare: "), "{text}: {}", refused(&path));
        }
        std::fs::write(&path, format!("a {} b {} c", MARKS.0, MARKS.1)).unwrap();
        std::fs::write(dir.path().join("page"), "").unwrap();
        assert!(refused(&path).contains("no charts"), "{}", refused(&path));
        std::fs::remove_file(dir.path().join("page")).unwrap();
        assert_eq!(refused(&path), "");
    }

    #[test]
    fn what_stands_around_the_marks_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.md");
        std::fs::write(&path, format!("before {} old {} after", MARKS.0, MARKS.1)).unwrap();
        let page = Page::open(&path).unwrap();
        page.write(&[Group::Puts, Group::GrowthKeys], &Results::default(), "new\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("before {}\n\nnew\n{} after", MARKS.0, MARKS.1));
    }
}
