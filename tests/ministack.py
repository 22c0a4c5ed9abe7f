"""The local AWS of deploy/, for tests."""

from deploy.ministack import REGION, environment, running

__all__ = ["REGION", "environment", "running"]
