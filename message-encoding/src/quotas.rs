//! How much a reader takes from a peer.

/// The bounds that a reader keeps, each checked before anything is allocated for what exceeds it.
///
/// The defaults are those of a WCF binding. [`Quotas::MAX`] bounds nothing but what fits into memory.
///
/// ```
/// use message_encoding::Quotas;
///
/// let quotas = Quotas { max_string_content_length: 1 << 20, ..Quotas::default() };
/// assert_eq!((quotas.max_depth, quotas.max_table_octets), (32, 2048));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// How many elements may be open at a time: `MaxDepth`, 32.
    pub max_depth: usize,
    /// How long a text may be that is read as one string, in UTF-16 units as .NET counts: `MaxStringContentLength`, 8192.
    pub max_string_content_length: usize,
    /// How many items an array, or octets a byte string, may have that is read as a whole: `MaxArrayLength`, 16384.
    pub max_array_length: usize,
    /// How many octets the attributes of one start tag may take, and how many a text is read in pieces of when the
    /// document comes in pieces: `MaxBytesPerRead`, 4096.
    pub max_bytes_per_read: usize,
    /// How many octets all string tables of a session may take together: `MaxSessionSize`, 2048.
    pub max_table_octets: usize,
}

impl Quotas {
    /// The defaults of WCF.
    pub const DEFAULT: Self = Self {
        max_depth: 32,
        max_string_content_length: 8192,
        max_array_length: 16384,
        max_bytes_per_read: 4096,
        max_table_octets: 2048,
    };

    /// No bounds (`XmlDictionaryReaderQuotas.Max`).
    pub const MAX: Self = Self {
        max_depth: usize::MAX,
        max_string_content_length: usize::MAX,
        max_array_length: usize::MAX,
        max_bytes_per_read: usize::MAX,
        max_table_octets: usize::MAX,
    };
}

impl Default for Quotas {
    fn default() -> Self {
        Self::DEFAULT
    }
}
