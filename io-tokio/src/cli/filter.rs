//! What is logged, as somebody has written it.

use std::str::FromStr as _;

use softadastra_core::error::Code;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::output::Failure;
use crate::control::Fault;
use crate::settings::Settings;

/// The filter that is set, else this one.
///
/// A word by itself must be a level: to the filter any other word is a part of the program, of which there is none by the
/// name of a mistyped level, and nothing would be logged at all.
pub(super) fn log_filter(settings: &Settings, default: &str) -> Result<EnvFilter, Failure> {
    let text = settings.log.as_deref().unwrap_or(default);
    let refused = |why: &str| {
        let what = format!("setting log from {}: {why}", settings.source("log"));
        let next = "correct it; one part of the program is PART=LEVEL, as in warn,softadastra=debug";
        Failure::Usage(Fault::new(Code::InvalidArgument, what, next))
    };
    let mut words = text.split(',').map(str::trim).filter(|part| !part.is_empty() && !part.contains(['=', '[']));
    if let Some(word) = words.find(|word| LevelFilter::from_str(word).is_err()) {
        return Err(refused(&format!("{word:?} is not one of off, error, warn, info, debug, trace")));
    }
    EnvFilter::try_new(text).map_err(|error| refused(&format!("{text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_by_itself_is_a_level() {
        let filter = |text: &str| {
            let mut settings = Settings::default();
            settings.log = Some(text.to_owned());
            log_filter(&settings, "info")
        };
        for text in ["info", "WARN", "off", "warn,softadastra=debug", "softadastra::sync=trace", "[node{node=a}]=debug"]
        {
            assert!(filter(text).is_ok(), "{text}");
        }
        for text in ["warning", "wran", "info,softadastra", "warn, debgu", "softadastra=wran", "="] {
            assert!(matches!(filter(text), Err(Failure::Usage(_))), "{text}");
        }
    }
}
