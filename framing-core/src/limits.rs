//! What a peer may make us wait for or keep.

/// Upper bounds on what a peer may announce, all in octets; a size beyond one is refused as soon as it is decoded,
/// before any octet of the value is awaited.
///
/// ```
/// use framing_core::Limits;
/// let limits = Limits { envelope: 16 * 1024 * 1024, ..Limits::DEFAULT };
/// assert_eq!(limits.via, 2048);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limits {
    /// Via of a Via Record; WCF: 2048 ([MC-NMF] product note 11).
    ///
    /// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
    pub via: usize,
    /// Content type of an Extensible Encoding Record; WCF: 256 (product note 14).
    pub content_type: usize,
    /// Protocol name of an Upgrade Request Record; WCF: 256 (product note 17).
    pub upgrade: usize,
    /// URI of a Fault Record, as the initiator reads it; WCF: 256.
    pub fault: usize,
    /// One envelope: the Size of a sized one, the sum of all chunks of an unsized one, the octets of a raw one.
    /// WCF: 65536; [`u64::MAX`] for none. Envelopes are streamed, so this bounds work and not memory.
    pub envelope: u64,
}

impl Limits {
    /// WCF's own limits.
    pub const DEFAULT: Self =
        Self { via: 2048, content_type: 256, upgrade: 256, fault: 256, envelope: 65536 };

    /// Octets of the longest preamble (Version, Mode, Via and encoding record) these limits admit, sizes written in
    /// five octets each: a buffer that large never fills up before a decoder has an answer.
    ///
    /// ```
    /// assert_eq!(framing_core::Limits::DEFAULT.preamble_octets(), 2321);
    /// ```
    #[must_use]
    pub const fn preamble_octets(&self) -> usize {
        let fixed = 3 + 2 + (1 + 5) + (1 + 5);
        self.via.saturating_add(self.content_type).saturating_add(fixed)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
