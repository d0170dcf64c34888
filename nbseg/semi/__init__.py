"""Provide training methods whose batches mix labeled images with unlabeled or pseudo-labeled ones.

The methods are an online teacher and methods of other papers, such as CSD, CCT and STAC.
"""
