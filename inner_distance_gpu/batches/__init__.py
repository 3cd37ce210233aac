"""Batches as data sets make them: where labels are in one, where targets go, and how they get ahead of the loop."""
