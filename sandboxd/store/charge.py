"""What a blob counts in shares and in the store: what it takes of a disk, not what it says."""

from __future__ import annotations

BLOCK_BYTES = 4 << 10
ROW_BYTES = 1 << 10
"""For the rows of the ledger and the entry of the directory."""
LEAST_BYTES = 16 << 10
"""ext4 is made with one inode for so many bytes: a store of the smallest blobs uses up its bytes no
later than its disk's inodes."""


def charged_bytes(size_bytes: int) -> int:
    """Tell what a blob of a size counts."""
    blocks = -(-size_bytes // BLOCK_BYTES)
    return max(LEAST_BYTES, blocks * BLOCK_BYTES + ROW_BYTES)


def largest_within(charged: int) -> int:
    """Tell the size of the largest blob that counts no more than so much; below zero: none does."""
    if charged < LEAST_BYTES:
        return -1
    return (charged - ROW_BYTES) // BLOCK_BYTES * BLOCK_BYTES
