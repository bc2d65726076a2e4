//! Softadastra driver.
pub mod cli;
