"""What the demo crawl is made of: pages of the installed Python's documentation, and pages written for it."""
