//! Random numbers that nothing secret depends on, from the standard library's randomly keyed hasher.

use std::hash::{BuildHasher, RandomState};

use message_encoding::envelope::MessageId;
use message_encoding::value::Uuid;

fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// A service number, 1 to 65535.
pub fn number() -> u32 {
    u32::try_from(random() % 65_535).unwrap_or_default() + 1
}

/// The name of a message: a random UUID (RFC 9562, version 4).
pub fn message_id() -> MessageId<'static> {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&random().to_le_bytes());
    octets[8..].copy_from_slice(&random().to_le_bytes());
    MessageId::Uuid(Uuid::from_random(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_4_uuid() {
        for _ in 0..100 {
            let id = message_id().to_string();
            let groups: Vec<&str> = id.strip_prefix("urn:uuid:").unwrap().split('-').collect();
            assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
            assert!(groups[2].starts_with('4') && groups[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        }
        assert_ne!(message_id(), message_id());
    }
}
