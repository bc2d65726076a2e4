//! The Markdown page that a run puts its tables into, and the charts beside it.

use std::ffi::OsStr;
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
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
    /// As it was asked for.
    asked: PathBuf,
    /// Where it lies: a link is followed, and the charts are beside the page itself.
    real: PathBuf,
    charts: PathBuf,
}

impl Page {
    /// Looks whether it could be written, before anybody has spent half an hour on what is to stand there. Leaves nothing behind.
    ///
    /// # Errors
    /// When it could not be written, or has no marks.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let cannot = |error: std::io::Error| format!("--write {}: {error}", path.display());
        let real = if path.is_symlink() { path.canonicalize().map_err(cannot)? } else { path.to_owned() };
        let page = Self { asked: path.to_owned(), charts: real.with_extension(""), real };
        page.around()?;
        if page.charts == page.real {
            let why = "its charts go into a folder of its name without the extension, and it has no extension";
            return Err(format!("--write {}: {why}", path.display()).into());
        }
        OpenOptions::new().write(true).open(path).map_err(cannot)?;
        beside(&page.real).map_err(cannot)?;
        let cannot = |error: std::io::Error| format!("no charts can be put into {}: {error}", page.charts.display());
        if page.charts.symlink_metadata().is_ok() {
            tempfile::tempfile_in(&page.charts).map_err(cannot)?;
        }
        Ok(page)
    }

    /// What stands before the marks, and what after them.
    fn around(&self) -> Result<(String, String), Fault> {
        let path = self.asked.display();
        let cannot = |error: std::io::Error| format!("--write {path}: {error}");
        // A pipe would keep its reader waiting, and a device may have no end.
        if !std::fs::metadata(&self.real).map_err(cannot)?.is_file() {
            return Err(format!("--write {path}: it is not a regular file").into());
        }
        let text = std::fs::read_to_string(&self.real).map_err(cannot)?;
        let (before, rest) = text.split_once(MARKS.0).ok_or_else(|| format!("--write {path}: no {} in it", MARKS.0))?;
        let (_, after) =
            rest.split_once(MARKS.1).ok_or_else(|| format!("--write {path}: no {} after the first mark", MARKS.1))?;
        Ok((before.to_owned(), after.to_owned()))
    }

    /// Puts tables and charts there, in place of those before, and says so. Everything is written beside what it replaces and
    /// takes its place when all of it is whole, the page last.
    ///
    /// # Errors
    /// Those of files, and when a chart cannot be drawn.
    pub(crate) fn write(&self, groups: &[Group], results: &Results, text: &str) -> Result<String, Fault> {
        let made = !self.charts.exists();
        let done = self.replace(groups, results, text);
        if made && done.is_err() {
            // It is not there, or it has taken a chart already.
            _ = std::fs::remove_dir(&self.charts);
        }
        done?;
        let (page, charts) = (self.asked.display(), self.charts.display());
        Ok(format!("{page} now has the tables of this run; the charts are in {charts}\n"))
    }

    fn replace(&self, groups: &[Group], results: &Results, text: &str) -> Result<(), Fault> {
        let (before, after) = self.around()?;
        let folder = in_a_link(self.charts.file_name().unwrap_or_default());
        let mut pictures = String::new();
        let mut whole = Vec::new();
        std::fs::create_dir_all(&self.charts).map_err(|error| format!("{}: {error}", self.charts.display()))?;
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
            let path = self.charts.join(format!("{name}.svg"));
            let chart = Whole::of(&path, &picture).map_err(|error| format!("{}: {error}", path.display()))?;
            whole.push((path, chart));
            pictures.push_str(&format!("![{}]({folder}/{name}.svg)\n\n", group.title()));
        }
        let (begin, end) = MARKS;
        let cannot = |error: std::io::Error| format!("--write {}: {error}", self.asked.display());
        let page =
            Whole::of(&self.real, &format!("{before}{begin}\n\n{text}{pictures}{end}{after}")).map_err(cannot)?;
        for (path, chart) in whole {
            chart.put().map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(page.put().map_err(cannot)?)
    }
}

/// A file that is written whole, and has not yet taken the place of the one before.
struct Whole {
    file: NamedTempFile,
    place: PathBuf,
}

impl Whole {
    fn of(path: &Path, text: &str) -> std::io::Result<Self> {
        let (mut file, place) = beside(path)?;
        file.write_all(text.as_bytes())?;
        // A disk may find out only now that it is full.
        file.as_file().sync_all()?;
        Ok(Self { file, place })
    }

    fn put(self) -> std::io::Result<()> {
        self.file.persist(self.place)?;
        Ok(())
    }
}

/// A new file that may take the place of another, and where that lies; a link to it is followed.
fn beside(path: &Path) -> std::io::Result<(NamedTempFile, PathBuf)> {
    let mut place = path.to_owned();
    let mut builder = tempfile::Builder::new();
    // As any program makes a file.
    let mut permissions = Permissions::from_mode(0o666);
    let there = path.symlink_metadata().is_ok();
    if there {
        place = path.canonicalize()?;
        let data = place.metadata()?;
        if !data.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        permissions = data.permissions();
    }
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = builder.permissions(permissions.clone()).tempfile_in(folder)?;
    if there {
        file.as_file().set_permissions(permissions)?;
    }
    Ok((file, place))
}

/// A name as it stands in a link: what could end the link, or mean something in it, as its bytes.
fn in_a_link(name: &OsStr) -> String {
    let mut text = String::new();
    for byte in name.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
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
        let without = dir.path().join("bare");
        std::fs::copy(&path, &without).unwrap();
        assert!(
            refused(&without).ends_with(
                "bare: its charts go into a folder of its name without the extension, and it has no extension"
            )
        );
        std::fs::write(dir.path().join("page"), "").unwrap();
        assert!(refused(&path).contains("no charts"), "{}", refused(&path));
        std::fs::remove_file(dir.path().join("page")).unwrap();
        assert_eq!(refused(&path), "");
        assert!(!dir.path().join("page").exists(), "who only looks leaves nothing behind");
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

    fn measured(groups: &[Group]) -> Results {
        let mut results = Results::default();
        for group in groups {
            results.add(*group, 1, crate::plan::Figure::of("sled", "1 client", 5.0));
        }
        results
    }

    #[test]
    fn a_failure_leaves_page_and_charts_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.md");
        let old = format!("{} old {}", MARKS.0, MARKS.1);
        std::fs::write(&path, &old).unwrap();
        let groups = [Group::Puts, Group::Gets];
        let (puts, gets) = (dir.path().join("page/puts.svg"), dir.path().join("page/gets.svg"));
        std::fs::create_dir_all(&gets).unwrap();
        std::fs::write(&puts, "old").unwrap();
        let page = Page::open(&path).unwrap();
        let error = page.write(&groups, &measured(&groups), "new").unwrap_err().to_string();
        assert!(error.contains("gets.svg: "), "{error}");
        assert_eq!(std::fs::read_to_string(&puts).unwrap(), "old");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), old);
        assert_eq!(std::fs::read_dir(dir.path().join("page")).unwrap().count(), 2, "no new files");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no new page");
        std::fs::remove_dir(&gets).unwrap();
        page.write(&groups, &measured(&groups), "new").unwrap();
        assert!(std::fs::read_to_string(&puts).unwrap().contains("<svg"));
        assert_eq!(gets.metadata().unwrap().permissions(), puts.metadata().unwrap().permissions(), "as others do");
    }

    #[test]
    fn charts_are_beside_the_page_itself_and_its_links_lead_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, link) = (dir.path().join("docs"), dir.path().join("link.md"));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("my (own) p\u{e4}ge.md");
        std::fs::write(&path, format!("{} old {}", MARKS.0, MARKS.1)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let groups = [Group::Puts];
        Page::open(&link).unwrap().write(&groups, &measured(&groups), "new").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("](my%20%28own%29%20p%C3%A4ge/puts.svg)"), "{text}");
        assert!(folder.join("my (own) p\u{e4}ge/puts.svg").is_file());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing beside the link");
    }
}
