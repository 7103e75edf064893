"""Certified billboard and influencer campaign plans on GPU or CPU arrays."""

__version__ = "0.1.0"
