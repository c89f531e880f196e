"""Devices, precision, distributed processes, seeding and progress display."""
