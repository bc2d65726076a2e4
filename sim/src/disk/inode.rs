//! One file: what a read sees, what the platter holds, and what lies between the two.

use std::sync::Arc;

use bytes::Bytes;

use crate::chance;

/// The unit that a disk writes whole or not at all.
pub const SECTOR: usize = 512;

type Sector = [u8; SECTOR];

/// The bytes of a file, with all who have them as they are: whoever writes gets a copy of his own, if there are others.
#[derive(Clone, Debug, Default)]
pub(super) struct Image(Arc<Vec<u8>>);

impl Image {
    fn own(&mut self) -> &mut Vec<u8> {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl AsRef<[u8]> for Image {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::ops::Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// How much of what was not synced a power loss spares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Everything, as if it had been synced a moment before.
    Kept,
    /// Nothing.
    Lost,
    /// Each piece for itself: this many percent of them are kept.
    Mixed(u8),
}

impl Fate {
    pub(super) const fn spares(self, bits: u64) -> bool {
        match self {
            Self::Kept => true,
            Self::Lost => false,
            Self::Mixed(share) => chance::percent(bits, share as u64),
        }
    }
}

/// A file, whatever names it has. Open files keep their inode across rename and removal.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What a read sees: the page cache.
    cache: Image,
    /// What survives a power loss for certain.
    durable: Image,
    /// Sectors written since the last sync, in their order, and what each held in between, oldest first; what it holds now is
    /// in the cache. A disk may have written any one of these.
    unsynced: Vec<(u64, Vec<Sector>)>,
    /// Lengths since the last sync.
    lengths: Vec<u64>,
    /// A failed sync has marked pages clean that are not on the platter.
    dropped: bool,
}

impl Inode {
    /// A file of which all is durable.
    pub(super) fn durably(content: Image) -> Self {
        Self { durable: content.clone(), cache: content, ..Self::default() }
    }

    /// What a read sees, to be had without a copy.
    pub(super) const fn image(&self) -> &Image {
        &self.cache
    }

    pub(super) fn len(&self) -> u64 {
        self.cache.len() as u64
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Whether reads may see what a failed sync has dropped, and will not when they come from the platter.
    pub(super) fn shows_what_was_dropped(&self) -> bool {
        self.dropped && *self.cache != *self.durable
    }

    pub(super) fn unsynced_sectors(&self) -> usize {
        self.unsynced.len()
    }

    /// The bytes at `offset`, fewer only where the file ends.
    pub(super) fn read(&self, offset: u64, len: usize) -> Bytes {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.cache.len());
        let end = start.saturating_add(len).min(self.cache.len());
        Bytes::from_owner(self.cache.clone()).slice(start..end)
    }

    /// Writes into the page cache; a gap before `offset` reads as zeros.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let start = offset as usize;
        let end = start + data.len();
        let before = self.cache.len();
        // A gap is new content too: it reads as zeros once the length is on disk.
        let sectors = (start.min(before) / SECTOR)..end.div_ceil(SECTOR);
        let first = self.unsynced.partition_point(|(sector, _)| *sector < sectors.start as u64);
        for (place, sector) in (first..).zip(sectors) {
            match self.unsynced.get_mut(place) {
                Some((known, versions)) if *known == sector as u64 => {
                    if overwrites(&self.cache, sector * SECTOR, start, data) {
                        versions.push(sector_of(&self.cache, sector as u64));
                    }
                }
                _ => self.unsynced.insert(place, (sector as u64, Vec::new())),
            }
        }
        if end > before {
            self.lengths.push(end as u64);
        }
        let cache = self.cache.own();
        if start > before {
            cache.resize(start, 0);
        }
        let (old, new) = data.split_at(data.len().min(cache.len() - start));
        if let Some(place) = cache.get_mut(start..start + old.len()) {
            place.copy_from_slice(old);
        }
        cache.extend_from_slice(new);
    }

    /// Everything the cache holds of unsynced sectors reaches the platter, with the length.
    pub(super) fn sync(&mut self) {
        let unsynced = std::mem::take(&mut self.unsynced);
        self.lengths.clear();
        if unsynced.is_empty() && self.durable.len() == self.cache.len() {
            return;
        }
        let durable = self.durable.own();
        // What was gained is new: whatever lies beyond the end of the platter's image is among the unsynced sectors.
        durable.truncate(self.cache.len());
        let before = durable.len();
        durable.extend_from_slice(self.cache.get(before..).unwrap_or_default());
        for (sector, _) in unsynced {
            let start = sector as usize * SECTOR;
            let end = (start + SECTOR).min(before);
            if let (Some(to), Some(from)) = (durable.get_mut(start..end), self.cache.get(start..end)) {
                to.copy_from_slice(from);
            }
        }
    }

    /// A sync that fails as Linux lets it fail: some pages reach the platter, the others are marked clean all the same,
    /// and no later sync will write them. The cache goes on showing them.
    pub(super) fn drop_pages(&mut self, fate: Fate, salt: u64) {
        let durable = self.durable.own();
        for (sector, _) in std::mem::take(&mut self.unsynced) {
            if fate.spares(chance::mix(salt, sector, 1)) {
                let content = sector_of(&self.cache, sector);
                let end = ((sector as usize + 1) * SECTOR).min(self.cache.len());
                if durable.len() < end {
                    durable.resize(end, 0);
                }
                put_sector(durable, sector, &content);
            }
        }
        self.lengths.clear();
        self.dropped = true;
        // The length is metadata: the journal writes it whatever became of the data.
        durable.resize(self.cache.len(), 0);
    }

    /// Memory pressure: clean pages are dropped, and read again from the platter.
    pub(super) fn evict(&mut self) {
        let mut cache = self.durable.clone();
        if cache.len() != self.cache.len() {
            cache.own().resize(self.cache.len(), 0);
        }
        for (sector, _) in &self.unsynced {
            let content = sector_of(&self.cache, *sector);
            put_sector(cache.own(), *sector, &content);
        }
        self.cache = cache;
        self.dropped = false;
    }

    /// The power goes: of each unsynced sector one of its contents is left, old or new; of the lengths one. Space that
    /// the
    /// file gained without its data reads as zeros, or as `stale`: what another file left there.
    pub(super) fn lose_power(&mut self, fate: Fate, salt: u64, stale: &[u8]) {
        let durable_len = self.durable.len();
        let mut lengths = std::mem::take(&mut self.lengths);
        lengths.retain(|_| matches!(fate, Fate::Kept | Fate::Mixed(_)));
        let longest = lengths.last().copied().unwrap_or(durable_len as u64) as usize;
        let len = match (fate, lengths.len() as u64) {
            (_, 0) => durable_len,
            (Fate::Mixed(_), count) => {
                let pick = chance::below(chance::mix(salt, 0, 3), count + 2);
                match lengths.get(pick as usize) {
                    Some(len) => *len as usize,
                    None if pick == count => durable_len,
                    // Delayed allocation stops wherever it had come to.
                    None => {
                        let sectors = (longest - durable_len).div_ceil(SECTOR) as u64;
                        let gained = chance::below(chance::mix(salt, 1, 3), sectors + 1) as usize;
                        (durable_len.next_multiple_of(SECTOR) + gained * SECTOR).min(longest)
                    }
                }
            }
            (Fate::Kept | Fate::Lost, _) => longest,
        };
        let mut left = self.durable.clone();
        if durable_len != len {
            left.own().resize(len, 0);
        }
        if durable_len < len
            && let (Some(gained), Some(old)) = (left.own().get_mut(durable_len..), stale.get(durable_len..))
        {
            for (to, from) in gained.iter_mut().zip(old) {
                *to = *from;
            }
        }
        for (sector, versions) in std::mem::take(&mut self.unsynced) {
            let bits = chance::mix(salt, sector, 1);
            if !fate.spares(bits) {
                continue;
            }
            let pick = match fate {
                Fate::Mixed(_) => chance::below(chance::mix(salt, sector, 2), versions.len() as u64 + 1) as usize,
                Fate::Kept | Fate::Lost => versions.len(),
            };
            match versions.get(pick) {
                Some(content) => put_sector(left.own(), sector, content),
                None => put_sector(left.own(), sector, &sector_of(&self.cache, sector)),
            }
        }
        self.durable = left.clone();
        self.cache = left;
        self.dropped = false;
    }

    /// Flips one bit, on the platter and in the cache. Says whether there was such a bit.
    pub(super) fn flip(&mut self, bit: u64) -> bool {
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        for image in [&mut self.durable, &mut self.cache] {
            if let Some(place) = image.own().get_mut(byte) {
                *place ^= mask;
            }
        }
        byte < self.durable.len()
    }
}

fn sector_of(image: &[u8], sector: u64) -> Sector {
    let mut content = [0; SECTOR];
    let start = sector as usize * SECTOR;
    let end = (start + SECTOR).min(image.len());
    if let Some(from) = image.get(start..end)
        && let Some(to) = content.get_mut(..from.len())
    {
        to.copy_from_slice(from);
    }
    content
}

/// Puts as much of a sector as lies within the image.
fn put_sector(image: &mut [u8], sector: u64, content: &Sector) {
    let start = sector as usize * SECTOR;
    let end = (start + SECTOR).min(image.len());
    if let Some(to) = image.get_mut(start..end)
        && let Some(from) = content.get(..to.len())
    {
        to.copy_from_slice(from);
    }
}

/// Whether writing `data` at `start` changes what the sector that begins at `from` holds.
fn overwrites(cache: &[u8], from: usize, start: usize, data: &[u8]) -> bool {
    let (low, high) = (from.max(start), (from + SECTOR).min(start + data.len()));
    let new = data.get(low.saturating_sub(start)..high.saturating_sub(start)).unwrap_or_default();
    match cache.get(low..high) {
        Some(old) => old != new,
        // Beyond the end of the file a sector reads as zeros.
        None => {
            let old = cache.get(low..).unwrap_or_default();
            new.get(..old.len()) != Some(old) || new.iter().skip(old.len()).any(|byte| *byte != 0)
        }
    }
}
