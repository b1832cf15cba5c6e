"""Preparation beside its peer: the same fitted steps in Modelyard and as a scikit-learn pipeline."""
