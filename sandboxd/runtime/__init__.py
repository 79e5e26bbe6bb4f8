"""The processes: supervisor (in the daemon), launcher, zygote, init, and the channel between."""
