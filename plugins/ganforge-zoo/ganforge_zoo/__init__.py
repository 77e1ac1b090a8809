"""Bundles of small trained generators, which `zoo:NAME` opens."""
