"""An Analysis as files and as text on a terminal: Markdown, a page, JSON, CSV, tables."""
