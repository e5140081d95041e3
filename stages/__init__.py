"""The stages: what can be done to documents."""
