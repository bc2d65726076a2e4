//! Where a machine puts what it wants done.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Takes effects in order. A `Vec` in tests, a parent's queue in production.
pub trait Sink<E> {
    /// Takes one effect.
    fn push(&mut self, effect: E);
}

impl<E> Sink<E> for Vec<E> {
    fn push(&mut self, effect: E) {
        Self::push(self, effect);
    }
}

impl<E> Sink<E> for VecDeque<E> {
    fn push(&mut self, effect: E) {
        self.push_back(effect);
    }
}
