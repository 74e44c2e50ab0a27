"""The project's own sample pictures, as scenes drawn by code."""
