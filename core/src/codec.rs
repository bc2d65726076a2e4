//! Hand-laid little-endian encoding, shared by the log, the snapshot and the wire.
//!
//! Decoding never panics and never guesses: a short or malformed input is a [`DecodeError`] that names the field.
//! Varints are LEB128 of at most ten bytes and must be minimal, so that one value has one encoding.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

/// What was wrong with encoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The field that could not be read.
    pub field: &'static str,
    /// Why.
    pub fault: Fault,
}

/// How an encoded field can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The input ends inside the field.
    Short,
    /// The value lies outside what the format allows.
    Invalid,
    /// Bytes follow where nothing may.
    Trailing,
    /// The field has a value that only a newer version of this software writes.
    FromTheFuture,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Short => "ends early",
            Fault::Invalid => "has an invalid value",
            Fault::Trailing => "is followed by stray bytes",
            Fault::FromTheFuture => "was written by a newer version",
        };
        write!(f, "{} {fault}", self.field)
    }
}

impl core::error::Error for DecodeError {}

/// Appends `value` as a minimal LEB128 varint (1 to 10 bytes).
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The greatest length of a varint.
pub const MAX_VARINT_LEN: usize = varint_len(u64::MAX);

/// The encoded length of `value`.
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a varint length and the bytes.
pub fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads fields from a shared buffer; blobs come out as slices of it, without copying.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    whole: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `whole` from its beginning.
    #[must_use]
    pub const fn new(whole: &'a Bytes) -> Self {
        Self { whole, at: 0 }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.whole.len() - self.at
    }

    /// Position of the next byte.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    #[inline]
    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let slice = self
            .at
            .checked_add(len)
            .and_then(|end| self.whole.get(self.at..end))
            .ok_or(DecodeError { field, fault: Fault::Short })?;
        self.at += len;
        Ok(slice)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError`] when the input ends.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array(field)?;
        Ok(byte)
    }

    /// A fixed number of bytes.
    ///
    /// # Errors
    /// [`DecodeError`] when the input ends.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, field)?);
        Ok(array)
    }

    /// A 64-bit little-endian number.
    ///
    /// # Errors
    /// [`DecodeError`] when the input ends.
    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// A minimal varint.
    ///
    /// # Errors
    /// [`DecodeError`] when the input ends or the varint is not minimal or does not fit 64 bits.
    #[inline]
    pub fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let invalid = DecodeError { field, fault: Fault::Invalid };
        let mut value = 0_u64;
        for index in 0..10 {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return Err(invalid);
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                return if byte == 0 && index > 0 { Err(invalid) } else { Ok(value) };
            }
        }
        Err(invalid)
    }

    /// A varint length of at most `max`, and as many bytes, shared with the input.
    ///
    /// # Errors
    /// [`DecodeError`] when the length exceeds `max` or the input ends.
    #[inline]
    pub fn blob(&mut self, max: usize, field: &'static str) -> Result<Bytes, DecodeError> {
        Ok(self.whole.slice_ref(self.slice(max, field)?))
    }

    /// As [`Self::blob`], without a share in the input.
    ///
    /// # Errors
    /// [`DecodeError`] when the length exceeds `max` or the input ends.
    #[inline]
    pub fn slice(&mut self, max: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.varint(field)?).unwrap_or(usize::MAX);
        if len > max {
            return Err(DecodeError { field, fault: Fault::Invalid });
        }
        self.take(len, field)
    }

    /// `len` bytes, shared with the input.
    ///
    /// # Errors
    /// [`DecodeError`] when the input ends.
    #[inline]
    pub fn bytes(&mut self, len: usize, field: &'static str) -> Result<Bytes, DecodeError> {
        Ok(self.whole.slice_ref(self.take(len, field)?))
    }

    /// Passes over `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError`] when the input ends.
    pub fn skip(&mut self, len: usize, field: &'static str) -> Result<(), DecodeError> {
        self.take(len, field).map(|_| ())
    }

    /// Demands that everything was read.
    ///
    /// # Errors
    /// [`DecodeError`] when bytes are left.
    pub fn finish(&self, field: &'static str) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(DecodeError { field, fault: Fault::Trailing }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padded_and_oversize_varints_are_refused() {
        for bad in [&[0x80, 0x00][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
            let bytes = Bytes::copy_from_slice(bad);
            assert_eq!(Reader::new(&bytes).varint("n").unwrap_err().fault, Fault::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn an_error_names_the_field_and_what_is_wrong_with_it() {
        let words = |fault| alloc::format!("{}", DecodeError { field: "seq", fault });
        let faults = [Fault::Short, Fault::Invalid, Fault::Trailing, Fault::FromTheFuture].map(words);
        let wanted =
            ["ends early", "has an invalid value", "is followed by stray bytes", "was written by a newer version"];
        assert_eq!(faults, wanted.map(|words| alloc::format!("seq {words}")));
    }

    #[test]
    fn a_blob_may_be_as_long_as_its_bound() {
        let mut out = Vec::new();
        put_blob(&mut out, b"four");
        let bytes = Bytes::from(out);
        assert_eq!(Reader::new(&bytes).blob(4, "b").unwrap(), "four");
        assert_eq!(Reader::new(&bytes).blob(3, "b").unwrap_err().fault, Fault::Invalid);
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.position(), reader.remaining()), (0, 5));
        reader.u8("length").unwrap();
        assert_eq!((reader.position(), reader.remaining()), (1, 4));
        assert_eq!(reader.finish("blob").unwrap_err().fault, Fault::Trailing);
    }

    #[test]
    fn a_blob_beyond_its_bound_is_refused_before_it_is_taken() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        let bytes = Bytes::from(out);
        assert_eq!(Reader::new(&bytes).blob(10, "b").unwrap_err().fault, Fault::Invalid);
    }

    proptest! {
        #[test]
        fn varints_round_trip(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            let bytes = Bytes::from(out);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint("n").unwrap(), value);
            reader.finish("n").unwrap();
        }

        #[test]
        fn garbage_never_panics(garbage: Vec<u8>) {
            let bytes = Bytes::from(garbage);
            let mut reader = Reader::new(&bytes);
            while reader.remaining() > 0 && reader.blob(1 << 20, "b").is_ok() {}
        }
    }
}
