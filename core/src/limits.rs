//! Every bound in one place. What a user may change is in `config::Config`; these are the walls around it.

/// The greatest length of a key, in bytes.
pub const MAX_KEY_LEN: usize = 1024;

/// The greatest value limit that can be configured: 64 MiB.
pub const MAX_VALUE_LEN: usize = 64 << 20;

/// The value limit unless configured: 1 MiB.
pub const DEFAULT_VALUE_LEN: usize = 1 << 20;

/// The most replicas a version vector may name. Far above any fleet this engine is meant for, far below what could
/// exhaust memory.
pub const MAX_REPLICAS: usize = 65_536;

/// The most operations in one atomic batch.
pub const MAX_BATCH_OPS: usize = 65_536;

/// The greatest size of one atomic batch or frame body, in encoded bytes: 128 MiB. One operation of the greatest size
/// always fits.
pub const MAX_FRAME_BODY: usize = 128 << 20;

/// The most other replicas of which progress is kept.
pub const MAX_MEMBERS: usize = 4096;

/// The most operations one replica can issue: 2^40, a thousand a second for 34 years. Whoever names more means harm.
pub const MAX_SEQ: u64 = 1 << 40;

const _: () = assert!(MAX_SEQ < (1 << 62) / MAX_REPLICAS as u64);
const _: () = assert!(MAX_FRAME_BODY > MAX_VALUE_LEN + MAX_KEY_LEN + MAX_REPLICAS * 26 + 64);
const _: () = assert!(MAX_FRAME_BODY < u32::MAX as usize);
