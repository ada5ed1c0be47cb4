//! A file that an editor of Windows has saved, as text.

/// UTF-8, or UTF-16 in either order, with a byte order mark or by how `<` is written.
///
/// # Errors
/// It is neither: what to do.
pub(super) fn decode(octets: &[u8]) -> Result<String, String> {
    match octets {
        [0xEF, 0xBB, 0xBF, text @ ..] => utf8(text),
        [0xFF, 0xFE, text @ ..] | text @ [b'<', 0, ..] => utf16(text, u16::from_le_bytes),
        [0xFE, 0xFF, text @ ..] | text @ [0, b'<', ..] => utf16(text, u16::from_be_bytes),
        text => utf8(text),
    }
}

fn utf8(text: &[u8]) -> Result<String, String> {
    std::str::from_utf8(text).map(str::to_owned).map_err(|error| {
        let before = text.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
        format!("line {line} is neither UTF-8 nor UTF-16; save the file as UTF-8")
    })
}

fn utf16(text: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let units: Vec<u16> = text.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    match String::from_utf16(&units) {
        Ok(decoded) if text.len().is_multiple_of(2) => Ok(decoded),
        _ => Err("it begins as UTF-16 and is not all of it; save the file as UTF-8".to_owned()),
    }
}
