"""Drawing on images; needs no torch."""
