//! A document that is there as a whole has its plain start tags and short texts read without detour; one in pieces goes the
//! general way with all. Both say the same.

mod support;

use message_encoding::Quotas;
use message_encoding::dictionary::{ReaderSession, Strings};

/// Names and namespaces of one octet, of several, and of ids of two octets; the last octets of some look like what may follow.
const NAMES: [&[u8]; 4] = [b"\x40\x01n", b"\x42\x82\x02", b"\x40\x02\xC3\xA9", b"\x44\x02"];
const DECLARATIONS: [&[u8]; 11] = [
    b"",
    b"\x08\x01u",
    b"\x08\x00",
    b"\x08\x02\xC3\xA9",
    b"\x0A\x82\x02",
    b"\x09\x01a\x01u",
    b"\x09\x01a\x00",
    b"\x09\x01a\x02\xC3\xA9",
    b"\x0B\x01a\x80\x02",
    b"\x0B\x01a\x02\x08\x01u",
    b"\x0B\x01a\x02\x0B\x01a\x02",
];
const ATTRIBUTES: [&[u8]; 9] = [
    b"",
    b"\x0C\x02\x86",
    b"\x0C\x80\x02\x84",
    b"\x0C\x82\x02\x82",
    b"\x0C\x84\x02\x80",
    b"\x0C\x86\x02\x98\x01x",
    b"\x0D\x82\x02\x86",
    b"\x0C\x02\x86\x0C\x82\x02\x86",
    b"\x06\x82\x02\x86",
];
const CONTENTS: [&[u8]; 8] = [
    b"\x01",
    b"\x81",
    b"\x82\x01",
    b"\x99\x01x",
    b"\xAB\x02",
    b"\xAB\x82\x02",
    b"\x93\0\0\0\0\0\0\xF0\x3F",
    b"\x89\x80",
];

#[test]
fn whole_and_in_pieces_it_says_the_same() {
    // As many strings as make any id one of them.
    let strings: String = (0..3000).map(|number| format!("s{number};")).collect();
    let mut session = ReaderSession::new();
    strings.split_terminator(';').for_each(|string| session.push(string));
    let mut accepted = 0;
    for name in NAMES {
        for declarations in DECLARATIONS {
            for attributes in ATTRIBUTES {
                for content in CONTENTS {
                    let document =
                        [b"\x41\x01a\x01r\x09\x01a\x01v", name, declarations, attributes, content, b"\x01"]
                            .concat();
                    for strings in [Strings::STATIC, Strings::with_session(&session)] {
                        let whole = support::read(&document, strings, Quotas::DEFAULT);
                        let pieces = support::read_pieces([&document[..]], strings, Quotas::DEFAULT);
                        assert_eq!(whole, pieces, "{document:02X?}");
                        accepted += u32::from(whole.1.is_none());
                    }
                }
            }
        }
    }
    assert!(accepted > 1000, "{accepted}");
}
