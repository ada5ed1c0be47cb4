//! A preamble that is kept when its octets are gone.

use core::fmt;

use heapless::String;

use super::Preamble;
use crate::{Encoding, Field, KnownEncoding, Mode};

/// A [`Preamble`] that owns its texts, inline, in a fixed capacity: for those who keep one after the octets are gone.
///
/// The capacities are in octets; the defaults hold whatever [`Limits::DEFAULT`](crate::Limits::DEFAULT) admits.
///
/// ```
/// use framing_core::{Encoding, KnownEncoding, Mode, OwnedPreamble, Preamble};
/// let owned: OwnedPreamble = {
///     let via = String::from("net.tcp://localhost:9000/calc");
///     let encoding = Encoding::Known(KnownEncoding::BINARY_SESSION);
///     OwnedPreamble::try_from(Preamble { mode: Mode::DUPLEX, via: &via, encoding })?
/// };
/// assert_eq!(owned.via(), "net.tcp://localhost:9000/calc");
/// # Ok::<(), framing_core::CapacityExceeded>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedPreamble<const VIA: usize = 2048, const CONTENT_TYPE: usize = 256> {
    mode: Mode,
    via: String<VIA>,
    encoding: OwnedEncoding<CONTENT_TYPE>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedEncoding<const N: usize> {
    Known(KnownEncoding),
    Extensible(String<N>),
}

impl<const VIA: usize, const CONTENT_TYPE: usize> OwnedPreamble<VIA, CONTENT_TYPE> {
    /// The communication mode.
    ///
    /// ```
    /// use framing_core::{Encoding, KnownEncoding, Mode, Preamble};
    /// let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// let owned: framing_core::OwnedPreamble = preamble.try_into()?;
    /// assert_eq!(owned.mode(), Mode::SINGLETON_UNSIZED);
    /// # Ok::<(), framing_core::CapacityExceeded>(())
    /// ```
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The URI of the endpoint.
    ///
    /// ```
    /// use framing_core::{Encoding, KnownEncoding, Mode, Preamble};
    /// let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// let owned: framing_core::OwnedPreamble = preamble.try_into()?;
    /// assert_eq!(owned.via(), "net.tcp://h/a");
    /// # Ok::<(), framing_core::CapacityExceeded>(())
    /// ```
    #[must_use]
    pub fn via(&self) -> &str {
        &self.via
    }

    /// How the envelopes are encoded.
    ///
    /// ```
    /// use framing_core::{Encoding, KnownEncoding, Mode, Preamble};
    /// let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// let owned: framing_core::OwnedPreamble = preamble.try_into()?;
    /// assert_eq!(owned.encoding(), Encoding::Known(KnownEncoding::BINARY));
    /// # Ok::<(), framing_core::CapacityExceeded>(())
    /// ```
    #[must_use]
    pub fn encoding(&self) -> Encoding<'_> {
        match &self.encoding {
            OwnedEncoding::Known(code) => Encoding::Known(*code),
            OwnedEncoding::Extensible(content_type) => Encoding::Extensible(content_type),
        }
    }

    /// The whole of it, borrowed.
    ///
    /// ```
    /// use framing_core::{Encoding, KnownEncoding, Mode, Preamble};
    /// let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// let owned: framing_core::OwnedPreamble = preamble.try_into()?;
    /// assert_eq!(owned.as_preamble(), preamble);
    /// # Ok::<(), framing_core::CapacityExceeded>(())
    /// ```
    #[must_use]
    pub fn as_preamble(&self) -> Preamble<'_> {
        Preamble { mode: self.mode(), via: self.via(), encoding: self.encoding() }
    }
}

impl<const VIA: usize, const CONTENT_TYPE: usize> TryFrom<Preamble<'_>> for OwnedPreamble<VIA, CONTENT_TYPE> {
    type Error = CapacityExceeded;

    /// # Errors
    /// [`CapacityExceeded`] names the text that is too long.
    fn try_from(preamble: Preamble<'_>) -> Result<Self, CapacityExceeded> {
        let exceeded = |field| move |_| CapacityExceeded { field };
        Ok(Self {
            mode: preamble.mode,
            via: String::try_from(preamble.via).map_err(exceeded(Field::Via))?,
            encoding: match preamble.encoding {
                Encoding::Known(code) => OwnedEncoding::Known(code),
                Encoding::Extensible(content_type) => OwnedEncoding::Extensible(
                    String::try_from(content_type).map_err(exceeded(Field::ContentType))?,
                ),
            },
        })
    }
}

/// A text does not fit an [`OwnedPreamble`].
///
/// ```
/// use framing_core::{CapacityExceeded, Encoding, Field, KnownEncoding, Mode, OwnedPreamble, Preamble};
/// let encoding = Encoding::Known(KnownEncoding::BINARY);
/// let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://localhost/", encoding };
/// assert_eq!(OwnedPreamble::<16, 0>::try_from(preamble), Err(CapacityExceeded { field: Field::Via }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CapacityExceeded {
    /// The text that is too long.
    pub field: Field,
}

impl fmt::Display for CapacityExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} is longer than the capacity for it", self.field)
    }
}

impl core::error::Error for CapacityExceeded {}
