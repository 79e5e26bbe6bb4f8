"""Generated from protos/sandboxd/v1; never edited."""
