//! Integration tests over the real binary, real files and real sockets.

mod fuzz_corpus;
mod tidy;
