"""Shards: writing them, planning who reads which sample, and streaming them as batches."""
