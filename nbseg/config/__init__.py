"""Derive the plain MMDetection config of each training stage from one nbseg config.

An nbseg config has sections, such as ``teacher``, whose keys apply only to certain stages.
"""
