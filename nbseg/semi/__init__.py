"""Train on labeled and unlabeled images in each batch: online teacher, CSD, CCT, STAC, others."""
