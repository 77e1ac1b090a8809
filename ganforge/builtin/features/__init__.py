"""Feature extractors that ship with ganforge."""
