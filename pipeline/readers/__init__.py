"""Readers: files of one format each, to batches of documents."""
