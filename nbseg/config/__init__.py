"""Resolve a config with sections into the plain MMDetection config of each stage."""
