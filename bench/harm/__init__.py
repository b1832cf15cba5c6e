"""Examinations on real data with a spoiled batch: what is called harmful, and which wrong labels are found."""
