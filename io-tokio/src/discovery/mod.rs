//! The sockets of discovery, and how it is told where to look. What is said and believed is decided in
//! [`softadastra_core::discovery`].
//!
//! | module | one idea |
//! | --- | --- |
//! | [`DiscoveryOptions`] | what a program or an operator may choose |
//! | `interfaces` | which network interfaces there are, and which targets follow from them |
//! | [`Udp`] | the sockets of this machine |
//! | `mdns` | the node in the lists of services that others browse |
//! | [`Trouble`] | what keeps datagrams from coming or going, by name |

mod interfaces;
mod mdns;
mod options;
mod trouble;
mod udp;

pub use self::interfaces::InterfaceInfo;
pub(crate) use self::mdns::Listing;
pub use self::options::{DiscoveryMode, DiscoveryOptions, TargetSpec};
pub use self::trouble::{Trouble, TroubleKind};
pub use self::udp::Udp;

use softadastra_core::discovery::Target;

/// Which ways there are for datagrams at present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Where announcements go.
    pub targets: Vec<Target>,
    /// The interfaces in use.
    pub interfaces: Vec<InterfaceInfo>,
    /// Why there are fewer than there should be.
    pub trouble: Option<Trouble>,
}
