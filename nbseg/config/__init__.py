"""Resolve one config with sections to the plain MMDetection config of each stage."""
