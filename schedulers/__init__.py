"""How far to let a trial run: one scheduler a file, and the catalogue that names them."""
