"""Back end."""
