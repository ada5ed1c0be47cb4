//! Envelopes compressed by `BinaryMessageEncodingBindingElement.CompressionFormat`: the whole of what is otherwise sent, string
//! table included, and `+gzip` or `+deflate` at the end of the content type.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, GzDecoder};

/// The most octets an envelope may have when it is decompressed.
const MOST: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    /// RFC 1951, without zlib's header.
    Deflate,
}

impl Compression {
    /// The content type without what says how it is compressed, and that.
    pub(super) fn split(content_type: &str) -> (&str, Self) {
        match content_type.rsplit_once('+') {
            Some((plain, "gzip")) => (plain, Self::Gzip),
            Some((plain, "deflate")) => (plain, Self::Deflate),
            _ => (content_type, Self::None),
        }
    }

    /// What a gzip member says of itself. Deflate says nothing.
    pub(super) fn of(octets: &[u8]) -> Self {
        if octets.starts_with(&[0x1F, 0x8B, 0x08]) { Self::Gzip } else { Self::None }
    }

    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "+gzip",
            Self::Deflate => "+deflate",
        }
    }
}

/// The octets without their compression.
pub(super) fn decompressed(octets: &[u8], compression: Compression) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let most = MOST as u64 + 1;
    let read = match compression {
        Compression::None => io::copy(&mut octets.take(most), &mut out),
        Compression::Gzip => io::copy(&mut GzDecoder::new(octets).take(most), &mut out),
        Compression::Deflate => io::copy(&mut DeflateDecoder::new(octets).take(most), &mut out),
    };
    match read {
        Ok(_) if out.len() > MOST => Err(format!("decompressed it has over {MOST} octets")),
        Ok(_) => Ok(out),
        Err(error) => Err(format!("it cannot be decompressed: {error}")),
    }
}
