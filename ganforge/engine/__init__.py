"""Training: two steps, and everything that makes them exact, fast and safe."""
