//! What one program was told about its writes, and what may be read therefore.
//!
//! A program writes one thing at a time, to keys that nobody else writes. Each write has a number, which is in its value:
//! so everybody who reads knows whose write it is, and whether it is older than what was read before.

use std::collections::{BTreeMap, BTreeSet};

use crate::chance;

/// The number of a write; `None` is a deletion, or no value.
pub type Number = Option<u64>;

/// What a program did.
#[derive(Debug)]
pub struct Memory {
    program: String,
    salt: u64,
    value_len: usize,
    next: u64,
    keys: BTreeMap<String, Known>,
    under_way: Vec<(String, Number)>,
    refused: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last write that was acknowledged or seen.
    certain: Number,
    /// Writes after it of which nobody could say what became of them, in their order.
    maybe: Vec<Number>,
}

/// How the answer to a write is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is durable.
    Acknowledged,
    /// It was not carried out and never will be.
    Refused,
    /// It may have been carried out.
    Unknown,
}

impl Memory {
    /// Of a program that has written nothing.
    #[must_use]
    pub fn new(program: String, salt: u64, value_len: usize) -> Self {
        let (keys, under_way, refused) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        Self { program, salt, value_len, next: 1, keys, under_way, refused }
    }

    /// A number that no write has had.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The value of a write: whose it is, its number, and bytes that follow from both.
    #[must_use]
    pub fn value(&self, number: u64) -> String {
        let bits = chance::mix(self.salt, number, 0);
        let filling = chance::below(bits, self.value_len as u64) as usize;
        let word = format!("{bits:016x}").repeat(filling / 16 + 1);
        let mut value = format!("{} {number} {word}", self.program);
        value.truncate(value.len() - word.len() + filling);
        value
    }

    /// Writes that belong together are under way.
    pub fn begin(&mut self, writes: Vec<(String, Number)>) {
        self.under_way = writes;
    }

    /// A write to a key that others write too is under way.
    pub fn begin_shared(&mut self, number: u64) {
        self.under_way = vec![(String::new(), Some(number))];
    }

    /// They were answered.
    pub fn answered(&mut self, told: Told) {
        for (key, number) in std::mem::take(&mut self.under_way) {
            if told == Told::Refused {
                self.refused.extend(number);
            }
            if key.is_empty() {
                continue;
            }
            let known = self.keys.entry(key).or_default();
            match told {
                Told::Acknowledged => *known = Known { certain: number, maybe: Vec::new() },
                Told::Refused => {}
                Told::Unknown => known.maybe.push(number),
            }
        }
    }

    /// The program has died; says whether it waited for an answer.
    pub fn interrupted(&mut self) -> bool {
        let waited = !self.under_way.is_empty();
        self.answered(Told::Unknown);
        waited
    }

    /// The write, if any, whose answer it waits for.
    #[must_use]
    pub fn waits(&self) -> Option<String> {
        self.under_way.first().map(|(key, number)| format!("{key:?} {number:?}"))
    }

    /// The keys that it has ever written, or tried to.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// What the program's own host shows for a key. `reopened`: with a node that was opened after the last write.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn read_at_home(&mut self, key: &str, shown: Number, reopened: bool) -> Result<(), String> {
        let under_way = self.under_way.iter().any(|(other, number)| other == key && *number == shown);
        let known = self.keys.entry(key.to_owned()).or_default();
        if shown != known.certain {
            match known.maybe.iter().position(|number| *number == shown) {
                Some(at) => drop(known.maybe.drain(..=at)),
                None if under_way => known.maybe.clear(),
                None => {
                    let Known { certain, maybe } = known;
                    return Err(format!(
                        "{key} shows {shown:?}, and its program was told {certain:?}, perhaps then {maybe:?}"
                    ));
                }
            }
            // What was shown must survive.
            known.certain = shown;
        }
        if reopened {
            known.maybe.clear();
        }
        Ok(())
    }

    /// Somebody, somewhere, reads this value of this program. `fresh`: its bytes were not looked at before.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn read_anywhere(&self, key: &str, number: u64, value: &[u8], fresh: bool) -> Result<(), String> {
        if number >= self.next {
            return Err(format!("{key} shows {} {number}, which was never written", self.program));
        }
        if self.refused.contains(&number) {
            return Err(format!("{key} shows {} {number}, and its program was told that it failed", self.program));
        }
        if fresh && value != self.value(number).as_bytes() {
            return Err(format!("{key} shows {} {number} with other bytes than were written", self.program));
        }
        Ok(())
    }
}

/// Whose write a value is, and which.
#[must_use]
pub fn parse(value: &[u8]) -> Option<(&str, u64)> {
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    Some((words.next()?, words.next()?.parse().ok()?))
}

/// What each key has shown last on one host: nobody ever sees an older state of a key that only one program writes.
#[derive(Debug, Default)]
pub struct Seen {
    last: BTreeMap<String, Last>,
    /// Program and number.
    shown: BTreeMap<String, (String, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    number: u64,
    /// It was there once, and then no more: a deletion has no number, but comes after what it deleted.
    gone: bool,
}

impl Seen {
    /// Whether a key shows another write than when this was last asked.
    pub fn is_fresh(&mut self, key: &str, shown: (&str, u64)) -> bool {
        match self.shown.get(key) {
            Some((program, number)) if (program.as_str(), *number) == shown => false,
            Some(_) | None => {
                self.shown.insert(key.to_owned(), (shown.0.to_owned(), shown.1));
                true
            }
        }
    }

    /// The host shows this.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn read(&mut self, key: &str, shown: Number) -> Result<(), String> {
        match (self.last.get_mut(key), shown) {
            (None, None) => {}
            (None, Some(number)) => drop(self.last.insert(key.to_owned(), Last { number, gone: false })),
            (Some(last), None) => last.gone = true,
            (Some(last), Some(number)) if number < last.number || number == last.number && last.gone => {
                let gone = if last.gone { "the deletion of " } else { "" };
                return Err(format!("{key} shows write {number} after {gone}write {} was seen here", last.number));
            }
            (Some(last), Some(number)) => *last = Last { number, gone: false },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(told: &[Told]) -> Memory {
        let mut memory = Memory::new("a.0".into(), 7, 50);
        for told in told {
            let number = memory.number();
            memory.begin(vec![("k".into(), Some(number))]);
            memory.answered(*told);
        }
        memory
    }

    #[test]
    fn only_what_may_have_been_carried_out_may_be_shown() {
        use Told::{Acknowledged, Refused, Unknown};
        let told = [Acknowledged, Acknowledged, Refused, Unknown];
        let allowed = [None, Some(1), Some(2), Some(3), Some(4), Some(5)]
            .map(|shown| written(&told).read_at_home("k", shown, true).is_ok());
        assert_eq!(allowed, [false, false, true, false, true, false]);

        let mut memory = written(&told);
        memory.read_at_home("k", Some(4), false).unwrap();
        memory.read_at_home("k", Some(2), true).unwrap_err();
        memory.read_at_home("never", None, true).unwrap();
        memory.read_at_home("never", Some(1), true).unwrap_err();
    }

    #[test]
    fn what_is_under_way_may_be_shown_and_then_must_be() {
        let mut memory = written(&[Told::Acknowledged]);
        let number = memory.number();
        memory.begin(vec![("k".into(), Some(number))]);
        memory.read_at_home("k", Some(1), false).unwrap();
        memory.read_at_home("k", Some(2), false).unwrap();
        memory.interrupted();
        memory.read_at_home("k", Some(1), true).unwrap_err();
    }

    #[test]
    fn values_are_known_by_their_bytes() {
        let memory = written(&[Told::Acknowledged, Told::Refused]);
        let value = memory.value(1);
        assert_eq!(parse(value.as_bytes()), Some(("a.0", 1)));
        memory.read_anywhere("k", 1, value.as_bytes(), true).unwrap();
        memory.read_anywhere("k", 1, b"a.0 1 ?", true).unwrap_err();
        memory.read_anywhere("k", 2, memory.value(2).as_bytes(), true).unwrap_err();
        memory.read_anywhere("k", 3, memory.value(3).as_bytes(), true).unwrap_err();
    }

    #[test]
    fn a_key_never_goes_back() {
        let mut seen = Seen::default();
        for (shown, good) in [(None, true), (Some(3), true), (Some(3), true), (Some(2), false), (None, true)] {
            assert_eq!(seen.read("k", shown).is_ok(), good, "{shown:?}");
        }
        seen.read("k", Some(3)).unwrap_err();
        seen.read("k", Some(5)).unwrap();
    }
}
