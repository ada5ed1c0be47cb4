//! The calculator service and client of the port sharing sample, and a demonstration that runs them on one port.
