"""Devices, precision, processes, seeds and progress."""
