"""`python -m jaxcampaign`: the command line."""

import sys

from jaxcampaign.cli import main

if __name__ == "__main__":
    sys.exit(main())
