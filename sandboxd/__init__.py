"""A rootless sandbox for running untrusted code."""
