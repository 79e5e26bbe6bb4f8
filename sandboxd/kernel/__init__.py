"""One file per kernel mechanism, each in two halves: decide (pure) over do (acts)."""
