"""What Sphinx does not do by itself for the book: see README.md in the folder above."""
