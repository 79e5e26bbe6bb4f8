"""Blobs by digest, on disk: what is acknowledged is durable, what is read is verified."""
