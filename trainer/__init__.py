"""The trainer: token shards to a model."""
