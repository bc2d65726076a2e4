//! What `softadastra config` and `softadastra man` answer.

use serde::{Deserialize, Serialize};

/// Every setting as it holds, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The configuration file that was read; absent when there is none.
    pub file: Option<String>,
    /// All settings.
    pub settings: Vec<SettingShown>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingShown {
    /// Its name.
    pub key: String,
    /// Its value as text, without secrets.
    pub value: String,
    /// `default`, `file`, `environment` or `flag`.
    pub source: String,
    /// The file, the variable or the flag; absent for a default.
    pub from: Option<String>,
}

/// A configuration that holds together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChecked {
    /// The configuration file that was read; absent when there is none.
    pub file: Option<String>,
    /// How many settings differ from nobody having set them.
    pub set: u64,
    /// What is no mistake and should be seen to, in sentences.
    pub warnings: Vec<String>,
}

/// A configuration file was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigWritten {
    /// Which.
    pub file: String,
}

/// Manual pages were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manual {
    /// Where to.
    pub dir: String,
    /// The files.
    pub pages: Vec<String>,
}
