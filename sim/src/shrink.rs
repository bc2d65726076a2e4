//! Delta debugging (Zeller and Hildebrandt, 2002): the fewest items that still fail.

/// Takes items away as long as `fails` says that what is left still fails. The result fails, and no single item can be
/// taken from it. `fails` is called at most `budget` times.
pub fn minimise<T: Clone>(items: &[T], budget: usize, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut best = items.to_vec();
    let mut parts = 2_usize;
    let mut left = budget;
    while !best.is_empty() {
        let size = best.len().div_ceil(parts);
        let mut shrunk = false;
        let mut start = 0;
        while start < best.len() {
            if left == 0 {
                return best;
            }
            left -= 1;
            let without: Vec<T> = best.iter().take(start).chain(best.iter().skip(start + size)).cloned().collect();
            if fails(&without) {
                best = without;
                shrunk = true;
            } else {
                start += size;
            }
        }
        if size == 1 && !shrunk {
            break;
        }
        parts = if shrunk { parts.max(2) } else { parts.saturating_mul(2) }.min(best.len().max(2));
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_left() {
        let items: Vec<u32> = (0..400).collect();
        let mut calls = 0;
        let shrunk = minimise(&items, 10_000, |items| {
            calls += 1;
            items.contains(&17) && items.contains(&230) && items.contains(&399)
        });
        assert_eq!(shrunk, [17, 230, 399]);
        assert!(calls < 200, "{calls} calls");
    }

    #[test]
    fn a_failure_that_needs_nothing_shrinks_to_nothing() {
        assert!(minimise(&[1, 2, 3], 100, |_| true).is_empty());
    }

    #[test]
    fn the_budget_holds() {
        let mut calls = 0;
        let shrunk = minimise(&[1; 100], 7, |_| {
            calls += 1;
            false
        });
        assert_eq!((calls, shrunk.len()), (7, 100));
    }
}
