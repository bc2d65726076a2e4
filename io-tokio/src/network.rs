//! Who a node is on the network and whom it knows there, kept in one file of the data directory; and how it is told to
//! open links.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`Book`] | what is kept, changed only together with the file |
//! | `content` | what there is to keep |
//! | `file` | its form on disk, and what must be true of the file |
//! | [`PeerSpec`] | the ways to name a peer |
//! | [`TransportOptions`] | how links are opened |

mod book;
mod content;
mod file;
mod options;
mod spec;

pub use self::book::Book;
pub(crate) use self::book::{Known, look};
pub(crate) use self::content::Content;
pub use self::content::KnownPeer;
pub use self::file::FILE_NAME;
pub use self::options::TransportOptions;
pub use self::spec::PeerSpec;
