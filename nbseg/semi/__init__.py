"""Provide training methods whose batches mix labeled images with unlabeled or pseudo-labeled ones.

The methods are an online teacher, which makes pseudo-labels for each batch while the student
trains, and methods of other papers, such as CSD, CCT and STAC.
"""
