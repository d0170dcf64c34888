"""The stages of semi-supervised training, each an MMEngine runner."""
