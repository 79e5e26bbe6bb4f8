"""What is true of this host, what follows from it, and what mends it."""
