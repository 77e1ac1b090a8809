"""Images in files: folders, archives and arrays, behind one interface."""
