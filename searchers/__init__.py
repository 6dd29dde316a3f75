"""What to try next: one searcher a file, and the catalogue that names them."""
