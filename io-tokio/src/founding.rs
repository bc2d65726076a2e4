//! Reading whole logs, and founding new ones with their content: what restoring and repairing have in common.

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use softadastra_core::config::Config;
use softadastra_core::error::{Code, Error};
use softadastra_core::node::{Inspected, Inspection, Rebuilt, Start};
use tokio::sync::oneshot;

use crate::data_dir::disk_failed;
use crate::disk::{Disk, FsDisk};
use crate::driver::{Command, Driver, InFlight, Way, bring_up, stopped, submit};
use crate::network::Book;
use crate::off_thread;
use crate::tcp::Tcp;
use crate::world::{SystemClock, system_seed};

/// Reads a log directory and changes nothing.
///
/// # Errors
/// [`Code::IoError`] when it cannot be read. Damage is no error: it stands in the report.
pub(crate) async fn inspect_disk<D: Disk>(disk: &D) -> Result<Inspected, Error> {
    let mut inspection = Inspection::new();
    let mut in_flight = InFlight::new();
    loop {
        while let Some(request) = inspection.poll_output() {
            submit(Some(disk), request, Way::Submitted, &in_flight, None);
        }
        match in_flight.next().await {
            Some((token, result)) => inspection.handle(token, result),
            None => {
                let outcome = inspection.take_outcome().ok_or_else(|| {
                    Error::new(
                        Code::InternalError,
                        "reading the log came to a halt without an outcome",
                        "report this as a fault of the software",
                    )
                })?;
                return outcome.map_err(|error| disk_failed(&error));
            }
        }
    }
}

/// As [`inspect_disk`], of a directory of this machine.
///
/// # Errors
/// As [`inspect_disk`].
pub(crate) async fn inspect_dir(wal: &Path) -> Result<Inspected, Error> {
    let path = wal.to_owned();
    let disk = off_thread(move || FsDisk::open_read_only(&path, None).map_err(|error| disk_failed(&error))).await?;
    let inspected = inspect_disk(&disk).await;
    disk.finish().await;
    inspected
}

/// Founds a new log with `content` in an empty directory, under a new history, and closes it cleanly.
///
/// # Errors
/// [`Code::AlreadyExists`] when there is a log; [`Code::DiskFull`]; [`Code::IoError`].
pub(crate) async fn found(wal: &Path, config: Config, content: Rebuilt) -> Result<(), Error> {
    let path = wal.to_owned();
    let disk = off_thread(move || FsDisk::open(&path, None).map_err(|error| disk_failed(&error))).await?;
    let clock = SystemClock::start();
    let start = Start::Found(Box::new(content));
    let seed = match system_seed() {
        Ok(seed) => seed,
        Err(error) => {
            disk.finish().await;
            return Err(error);
        }
    };
    let opened = match bring_up(Some(&disk), &clock, seed, config, start).await {
        Ok(opened) => opened,
        Err(error) => {
            disk.finish().await;
            return Err(error);
        }
    };
    // Only to found the log: it opens no links, and the book of the directory is made when it is first opened.
    let book = Book::in_memory(&seed);
    let (driver, reach) = Driver::new(opened, Some(disk), Arc::new(clock), Tcp, book);
    let (answer, reply) = oneshot::channel();
    reach.commands.try_send(Command::Close { answer }).map_err(|_| stopped())?;
    driver.run().await;
    reply.await.map_err(|_| stopped())?
}

/// Reads a newly founded log back, and compares what it holds with what it was founded with.
///
/// # Errors
/// [`Code::InternalError`] when it differs; nothing of the new log may be used then.
pub(crate) async fn check_equal(wal: &Path, wanted: [u8; 32]) -> Result<Rebuilt, Error> {
    let Inspected { report, content } = inspect_dir(wal).await?;
    let whole = report.refusal().is_none();
    content.filter(|content| whole && content.content_hash() == wanted).ok_or_else(|| {
        Error::new(
            Code::InternalError,
            format!("the new log in {} does not hold what was written to it", wal.display()),
            "check the disk; the source is as it was",
        )
    })
}
