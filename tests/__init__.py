"""Tests in the folders of the package; a package, since libraries install a module `tests` of their own."""
