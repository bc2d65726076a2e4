//! `softadastra doctor`: looks for what is wrong, and says what to do. It changes nothing, and works where a node does
//! not start.

mod node;
mod place;
mod ports;

use super::output::{Done, Failure, Output};
use crate::control::answer::Doctor;
use crate::settings::Settings;

/// Looks at everything, in the order in which a node needs it.
pub(super) async fn run(settings: &Settings, out: &mut Output) -> Result<Done, Failure> {
    let mut checks = vec![place::settings(settings).await, place::directory(&settings.data_dir)];
    if checks.iter().any(|check| check.name == "directory" && check.state == "failed") {
        // Without it there is nothing else to look at but what a first start needs.
        checks.push(place::limits(settings));
        checks.extend(ports::all(settings, None).await);
    } else {
        let found = node::Found::look(settings).await;
        checks.push(place::permissions(settings));
        checks.push(place::file_system(&settings.data_dir));
        checks.push(place::room(settings, found.live_bytes()));
        checks.push(place::limits(settings));
        checks.push(node::running(&found));
        checks.push(node::log(&found));
        checks.push(node::identity(settings, &found));
        checks.push(node::clock(settings, &found));
        checks.extend(ports::all(settings, found.status()).await);
        checks.push(node::peers(&found));
        checks.push(node::delivery(&found));
    }
    let doctor = Doctor::of(settings.data_dir.display().to_string(), checks);
    out.answer(&doctor)?;
    Ok(if doctor.failed == 0 { Done::Yes } else { Done::No })
}
