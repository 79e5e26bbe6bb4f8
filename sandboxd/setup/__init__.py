"""Preparing a host once, as root: what is to be changed, doing it, and taking it back."""
