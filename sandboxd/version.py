"""The release, in one place: read by the build, GetHost and the command line."""

__version__ = "0.1.0"
