"""The gRPC server: thin servicers, the queue, and the wire between protos and values."""
