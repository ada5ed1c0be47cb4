//! .NET Message Framing (MC-NMF): records, preamble and both roles' state machines. no_std, no allocation, no I/O.

#![no_std]
#![forbid(unsafe_code)]
