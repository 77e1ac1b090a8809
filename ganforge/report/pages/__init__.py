"""Self-contained HTML pages: templates, style, script, pictures. Imports neither torch nor numpy."""
