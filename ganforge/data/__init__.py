"""Batches of real images: loaders, workers, samplers."""
