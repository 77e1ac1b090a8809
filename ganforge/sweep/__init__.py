"""Sweeps: many runs over configurations and seeds, scheduled, scored and ranked."""
