//! Integration tests over the real binary, real files and real sockets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "all of this is test code")]

mod cli;
mod config;
mod control;
mod control_limits;
mod damage;
mod demo;
mod discovery;
mod doctor;
mod drill;
mod file_size;
mod frozen;
mod fuzz_corpus;
mod guides;
mod http;
mod import;
mod json_schema;
mod network;
mod noise_peer;
mod operations;
mod refusals;
mod service;
mod session;
mod shapes;
mod support;
mod sync;
mod terminal;
mod tidy;
#[cfg(target_os = "linux")]
mod unread_log;
mod watching;
