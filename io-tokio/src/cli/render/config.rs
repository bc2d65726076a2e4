//! Answers about the configuration, as people read them.

use super::{counted, lines_of, plain_table};
use crate::cli::output::{Human, Paint};
use crate::control::answer::{Config, ConfigChecked, ConfigWritten, Manual};
use crate::control::fault::readable;

impl Human for Config {
    fn human(&self, paint: Paint) -> String {
        let mut table = plain_table();
        table.set_header(["SETTING", "VALUE", "FROM"]);
        for setting in &self.settings {
            let from = setting.from.as_deref().unwrap_or("default");
            table.add_row([&setting.key, &readable(setting.value.as_bytes()), from]);
        }
        let file = self.file.as_deref().unwrap_or("none");
        format!("{}  {file}\n\n{}", paint.bold("File"), lines_of(&table))
    }
}

impl Human for ConfigChecked {
    fn human(&self, paint: Paint) -> String {
        let file = self.file.as_deref().unwrap_or("There is no configuration file; what is set elsewhere");
        let set = counted(self.set, "setting", "settings");
        let mut text = format!("{file}: sound, {set} set\n");
        for warning in &self.warnings {
            text.push_str(&format!("{} {warning}\n", paint.red("warning:")));
        }
        text
    }
}

impl Human for ConfigWritten {
    fn human(&self, _: Paint) -> String {
        format!("{}: written, every setting in it commented out\n", self.file)
    }
}

impl Human for Manual {
    fn human(&self, _: Paint) -> String {
        format!("{}: {} written\n", self.dir, counted(self.pages.len() as u64, "page", "pages"))
    }
}
