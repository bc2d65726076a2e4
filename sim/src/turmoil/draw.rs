//! What a seed decides about a script.

use softadastra_core::disk::DiskErrorKind;

use super::script::Act;
use crate::chance;
use crate::disk::{Fate, Fault, Harm, Loss, OpKind};

/// Numbers that follow from a seed.
pub(super) struct Draw {
    seed: u64,
    drawn: u64,
}

impl Draw {
    pub(super) fn new(story: &str, seed: u64) -> Self {
        Self { seed: chance::mix(seed, chance::name(story), 0), drawn: 0 }
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        chance::below(chance::mix(self.seed, self.drawn, 1), bound)
    }

    pub(super) fn between(&mut self, least: u64, greatest: u64) -> u64 {
        least + self.below(greatest - least + 1)
    }

    pub(super) fn host(&mut self, hosts: usize) -> usize {
        self.below(hosts as u64) as usize
    }

    pub(super) fn pair(&mut self, hosts: usize) -> (usize, usize) {
        let a = self.host(hosts);
        (a, (a + 1 + self.host(hosts - 1)) % hosts)
    }

    pub(super) fn loss(&mut self) -> Loss {
        let share = self.between(10, 90) as u8;
        let mut fate = || match self.below(4) {
            0 => Fate::Kept,
            1 => Fate::Lost,
            _ => Fate::Mixed(share),
        };
        let (data, names) = (fate(), fate());
        Loss { data, names, stale: self.below(2) == 0, salt: self.below(u64::MAX) }
    }

    /// The process dies, or the power goes; now and then it is only an operator.
    pub(super) fn crash(&mut self, who: usize, longest: u64) -> Act {
        let down = self.between(20, longest);
        match self.below(5) {
            0 => Act::Stop(who, down),
            1 | 2 => Act::Kill(who, down),
            _ => Act::LosePower(who, self.loss(), down),
        }
    }

    pub(super) fn fault(&mut self) -> Fault {
        let kinds = [OpKind::Write, OpKind::Sync, OpKind::Create, OpKind::SyncDir, OpKind::Rename, OpKind::Zero];
        let on = kinds.get(self.host(kinds.len())).copied();
        let what = match self.below(4) {
            0 => Harm::Short(self.below(100) as u8, DiskErrorKind::Io),
            1 => Harm::DropPages(Fate::Mixed(50)),
            2 => Harm::DoneButFailed,
            _ => Harm::Error(DiskErrorKind::Io),
        };
        Fault { on, after: self.below(10) as u32, what }
    }
}
