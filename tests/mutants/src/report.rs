//! What is said at the end: figures by module, and who survived without an explanation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::catalogue::{Id, Mutant};
use crate::trial::Fate;

/// Reasons why nobody can, or need, notice a mutant: lines of `file: what it does = reason`. A `*` stands for any text; the
/// first line that fits is taken.
#[derive(Default)]
pub(crate) struct Explanations(Vec<(String, String)>);

impl Explanations {
    /// Reads them; empty lines and those that begin with `#` say nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // What a mutant does may hold equals signs, a reason holds none with blanks.
            let (mutant, reason) = line.rsplit_once(" = ").ok_or_else(|| format!("no reason: {line}"))?;
            all.push((mutant.to_owned(), reason.to_owned()));
        }
        Ok(Self(all))
    }

    fn of(&self, mutant: &Mutant) -> Option<&str> {
        let name = format!("{}: {}", mutant.file, mutant.what());
        self.0.iter().find(|(pattern, _)| fits(pattern, &name)).map(|(_, reason)| reason.as_str())
    }
}

/// Whether `text` is the pattern, with any text in place of each `*`. The `*` of a multiplication fits itself, too.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*').peekable();
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    while let Some(piece) = pieces.next() {
        rest = match (pieces.peek(), rest.find(piece)) {
            (None, _) => return rest.ends_with(piece),
            (_, None) => return false,
            (_, Some(at)) => rest.get(at + piece.len()..).unwrap_or_default(),
        };
    }
    rest.is_empty()
}

/// Everything that is known at the end of a run.
pub(crate) struct Report<'a> {
    /// All that cargo-mutants lists, but for those not asked for.
    pub(crate) all: &'a BTreeMap<Id, Mutant>,
    /// Those that were woven in.
    pub(crate) fates: &'a BTreeMap<Id, Fate>,
    pub(crate) explanations: &'a Explanations,
}

#[derive(Default)]
struct Count {
    listed: usize,
    tried: usize,
    killed: usize,
    simulated: usize,
    explained: usize,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.listed += other.listed;
        self.tried += other.tried;
        self.killed += other.killed;
        self.simulated += other.simulated;
        self.explained += other.explained;
    }

    fn write(&self, name: &str, text: &mut String) {
        let Self { listed, tried, killed, simulated, explained } = self;
        let open = tried - killed - simulated - explained;
        writeln!(text, "| {name} | {listed} | {tried} | {killed} | {simulated} | {explained} | {open} |")
            .expect("a string takes all");
    }
}

impl Report<'_> {
    /// Those that nobody noticed and nobody has explained, with how many tests reach them.
    pub(crate) fn open(&self) -> Vec<(Id, &Mutant, usize)> {
        let survivors = self.fates.iter().filter_map(|(id, fate)| match fate {
            Fate::Survived(tests) => self.all.get(id).map(|mutant| (*id, mutant, *tests)),
            Fate::Killed(_) | Fate::Simulated => None,
        });
        survivors.filter(|(_, mutant, _)| self.explanations.of(mutant).is_none()).collect()
    }

    /// As Markdown.
    pub(crate) fn text(&self) -> String {
        let mut modules: BTreeMap<&str, Count> = BTreeMap::new();
        for (id, mutant) in self.all {
            let count = modules.entry(module(&mutant.file)).or_default();
            count.listed += 1;
            let Some(fate) = self.fates.get(id) else { continue };
            count.tried += 1;
            match fate {
                Fate::Killed(_) => count.killed += 1,
                Fate::Simulated => count.simulated += 1,
                Fate::Survived(_) => count.explained += usize::from(self.explanations.of(mutant).is_some()),
            }
        }
        let mut text = String::from(
            "| module | listed | tried | by tests | by the simulator | explained | open |\n| --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let mut total = Count::default();
        for (module, count) in &modules {
            count.write(module, &mut text);
            total.add(count);
        }
        total.write("all", &mut text);
        for (_, mutant, tests) in self.open() {
            write!(text, "\n- `{}` ({tests} tests reach it)", mutant.name).expect("a string takes all");
        }
        text
    }
}

/// `wal` for `core/src/wal/scan/plan.rs`, `clock` for `core/src/clock.rs`.
fn module(file: &str) -> &str {
    let inner = file.strip_prefix("core/src/").unwrap_or(file);
    inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs")
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_text() {
        let debug =
            "core/src/ids.rs: replace <impl fmt::Debug for Dot>::fmt -> fmt::Result with Ok(Default::default())";
        assert!(fits(debug, debug));
        assert!(fits("*: replace <impl fmt::Debug for *>::fmt -> *", debug));
        assert!(!fits("*: replace <impl fmt::Display for *>::fmt -> *", debug));
        assert!(!fits("core/src/ids.rs: replace", debug), "a beginning is not all of it");
        assert!(!fits("replace*", debug));
        let product = "core/src/wal/tail.rs: replace + with * in Tail::room";
        assert!(fits(product, product));
        assert!(!fits("*: replace + with * in Tail::rest", product));
        assert!(fits("core/src/wal/*: replace * with * in *", product));
        assert!(!fits("a*b*b", "ab"));
    }
}
