//! Formats that must stay readable for ever.
