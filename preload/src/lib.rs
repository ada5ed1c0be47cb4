//! Makes an unmodified program's listener a registration of the port sharing broker (LD_PRELOAD).
