"""Diagnostics of a training: detectors, alerts, the monitor."""
