//! Seeds and stories that failed once. They stay.
