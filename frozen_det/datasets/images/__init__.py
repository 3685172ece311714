"""Image files: are they there, whole, of the stated size; their pixels as RGB."""
