//! From a script that breaks a promise to the shortest one that breaks any.

use super::script::Script;
use super::stage::play;

/// The most scripts that are tried; each takes a second, and those in which hosts never come
/// to rest some more.
const MOST_TRIES: usize = 40;

/// Leaves out what happens, half of it at first and then less and less, as long as a promise is still broken.
#[must_use]
pub fn shorten(script: &Script) -> Script {
    let mut shortest = script.clone();
    let mut tries = 0;
    let mut size = shortest.acts.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let mut shorter = false;
        while from < shortest.acts.len() && tries < MOST_TRIES {
            let mut candidate = shortest.clone();
            let until = (from + size).min(candidate.acts.len());
            candidate.acts.drain(from..until);
            tries += 1;
            if play(&candidate, false).failure.is_some() {
                (shortest, shorter) = (candidate, true);
            } else {
                from = until;
            }
        }
        if size > 1 || !shorter {
            size /= 2;
        }
    }
    shortest
}
