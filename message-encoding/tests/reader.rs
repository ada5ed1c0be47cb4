//! What a reader gives, and what that borrows from.

use std::borrow::Cow;

use message_encoding::dictionary::Strings;
use message_encoding::event::{Reader, ReaderState};
use message_encoding::{Quotas, ReadError, Value};

/// It compiles: what is read outlives the state it was read with.
#[test]
fn texts_borrow_from_the_document_alone() {
    fn lent<'d>(document: &'d [u8], state: &mut ReaderState) -> Result<Cow<'d, str>, ReadError> {
        let mut reader = Reader::new(state, document, Strings::STATIC, Quotas::DEFAULT);
        reader.next_child()?;
        reader.read_text()
    }
    fn own(document: &[u8]) -> Result<Value<'_>, ReadError> {
        let mut state = ReaderState::new();
        let mut reader = Reader::new(&mut state, document, Strings::STATIC, Quotas::DEFAULT);
        reader.next_child()?;
        reader.read_value()
    }
    let document = b"\x40\x01r\x99\x02hi";
    let (text, value) = (lent(document, &mut ReaderState::new()), own(document));
    assert!(matches!(text, Ok(Cow::Borrowed("hi"))));
    assert_eq!(value, Ok(Value::Chars(b"hi")));
}
