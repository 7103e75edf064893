"""The command line: the same verbs for batch jobs."""

from jaxcampaign.cli.main import main

__all__ = ["main"]
