//! Integration tests over the real binary, real files and real sockets.

mod cli;
mod control;
mod fuzz_corpus;
mod import;
mod support;
mod tidy;
