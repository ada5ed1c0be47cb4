//! What a worker and the broker say to each other over a Unix socket, and how an accepted TCP socket crosses.
