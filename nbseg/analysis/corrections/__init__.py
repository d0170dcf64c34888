"""Show what a person changed in pseudo-labels."""
