"""Evaluate detectors, classifiers and both together: metrics, thresholds, plots, error pages."""
