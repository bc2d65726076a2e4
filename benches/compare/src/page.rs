//! The Markdown page that a run puts its tables into, and the charts beside it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

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
        let cannot = |error: std::io::Error| format!("--write {}: {error}", path.display());
        OpenOptions::new().write(true).open(path).map_err(cannot)?;
        page.beside().map_err(cannot)?;
        let cannot = |error: std::io::Error| format!("no charts can be put into {}: {error}", page.charts.display());
        std::fs::create_dir_all(&page.charts).map_err(cannot)?;
        tempfile::tempfile_in(&page.charts).map_err(cannot)?;
        Ok(page)
    }

    /// A new file beside the page, and where the page itself lies; a link to it is followed.
    fn beside(&self) -> std::io::Result<(NamedTempFile, PathBuf)> {
        let real = self.path.canonicalize()?;
        let file = NamedTempFile::new_in(real.parent().unwrap_or(Path::new("/")))?;
        file.as_file().set_permissions(std::fs::metadata(&real)?.permissions())?;
        Ok((file, real))
    }

    /// What stands before the marks, and what after them.
    fn around(&self) -> Result<(String, String), Fault> {
        let path = self.path.display();
        let cannot = |error: std::io::Error| format!("--write {path}: {error}");
        // A pipe would keep its reader waiting, and a device may have no end.
        if !std::fs::metadata(&self.path).map_err(cannot)?.is_file() {
            return Err(format!("--write {path}: it is not a regular file").into());
        }
        let text = std::fs::read_to_string(&self.path).map_err(cannot)?;
        let (before, rest) = text.split_once(MARKS.0).ok_or_else(|| format!("--write {path}: no {} in it", MARKS.0))?;
        let (_, after) =
            rest.split_once(MARKS.1).ok_or_else(|| format!("--write {path}: no {} after the first mark", MARKS.1))?;
        Ok((before.to_owned(), after.to_owned()))
    }

    /// Puts tables and charts there, in place of those before, and says so. The page is either the old one or the new one.
    ///
    /// # Errors
    /// Those of files, and when a chart cannot be drawn.
    pub(crate) fn write(&self, groups: &[Group], results: &Results, text: &str) -> Result<String, Fault> {
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
            let file = self.charts.join(format!("{name}.svg"));
            std::fs::write(&file, picture).map_err(|error| format!("{}: {error}", file.display()))?;
            let folder = self.charts.file_name().unwrap_or_default().to_string_lossy().into_owned();
            pictures.push_str(&format!("![{}]({folder}/{name}.svg)\n\n", group.title()));
        }
        let (begin, end) = MARKS;
        let cannot = |error: std::io::Error| format!("--write {}: {error}", self.path.display());
        let (mut file, real) = self.beside().map_err(cannot)?;
        write!(file, "{before}{begin}\n\n{text}{pictures}{end}{after}").map_err(cannot)?;
        file.persist(real).map_err(|error| cannot(error.error))?;
        let (page, charts) = (self.path.display(), self.charts.display());
        Ok(format!("{page} now has the tables of this run; the charts are in {charts}\n"))
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
    fn only_a_regular_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path(), Path::new("/dev/zero"), Path::new("/dev/full"), Path::new("/dev/null")] {
            assert!(refused(path).contains("not a regular file"), "{}", refused(path));
        }
    }

    #[test]
    fn a_page_that_cannot_be_written_whole_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("page.md"), dir.path().join("link.md"));
        let old = format!("{} old {}", MARKS.0, MARKS.1);
        std::fs::write(&path, &old).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let page = Page::open(&link).unwrap();
        let before = std::fs::File::open(&path).unwrap();
        page.write(&[], &Results::default(), "new\n").unwrap();
        assert_eq!(std::io::read_to_string(before).unwrap(), old, "the old page is replaced, not written over");
        assert!(link.is_symlink() && std::fs::read_to_string(&path).unwrap().contains("new"));
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
