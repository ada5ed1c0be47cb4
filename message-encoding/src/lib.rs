//! .NET Binary XML (MC-NBFX, MC-NBFS, MC-NBFSE) and text SOAP envelopes, as WCF writes and reads them.

#![no_std]
#![forbid(unsafe_code)]
