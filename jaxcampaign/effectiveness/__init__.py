"""What a post will bring: options, point-in-time features, models of mean and deviation."""

from jaxcampaign.effectiveness.features import SOURCES, Features, Source
from jaxcampaign.effectiveness.options import enumerate_options

__all__ = ["SOURCES", "Features", "Source", "enumerate_options"]
