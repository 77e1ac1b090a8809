"""Latent space of a trained generator: points, paths, directions, projection.

Everything starts from a `LatentSpace` of a run, and takes and returns `Latents`.
"""
