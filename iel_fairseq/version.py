"""The version of this package, in the order of https://semver.org."""

__version__ = "0.1.0"
