"""Write annotations as files that labeling tools open."""
