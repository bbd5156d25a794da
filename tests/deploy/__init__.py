"""Tests of the files that a deployment is made of."""
