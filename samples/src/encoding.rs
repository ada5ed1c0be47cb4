//! What the calculator speaks: which sessions it opens and accepts, and how their envelopes are encoded.

use message_encoding::envelope::MessageEncoding;
use transport::Mode;

/// What a client asks for: `--encoding`. The service takes all of them; MTOM neither has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Choice {
    /// .NET Binary XML, as a binding that says nothing has it
    #[default]
    Binary,
    /// SOAP 1.2 as text, in UTF-8
    Text,
    /// SOAP 1.2 as text, in UTF-16
    TextUtf16,
    /// SOAP 1.1 as text, in UTF-8
    Soap11,
    /// SOAP 1.1 as text, in UTF-16
    Soap11Utf16,
}

impl Choice {
    /// The encoding in sessions of a mode: in-band strings need a session, which a streamed call has none of.
    pub const fn encoding(self, mode: Mode) -> MessageEncoding {
        match self {
            Self::Text => MessageEncoding::Soap12Utf8,
            Self::TextUtf16 => MessageEncoding::Soap12Utf16,
            Self::Soap11 => MessageEncoding::Soap11Utf8,
            Self::Soap11Utf16 => MessageEncoding::Soap11Utf16,
            Self::Binary if matches!(mode, Mode::DUPLEX) => MessageEncoding::BinarySession,
            Self::Binary => MessageEncoding::Binary,
        }
    }
}
