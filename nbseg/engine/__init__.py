"""Run the stages of semi-supervised training; most of them are MMEngine runs."""
