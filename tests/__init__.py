"""Tests of ganforge; the folders are named after its packages."""
