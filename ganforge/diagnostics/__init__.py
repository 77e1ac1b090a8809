"""Diagnostics of a training run: detectors, alerts, the health monitor."""
